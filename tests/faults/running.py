"""A real `tocsin run` to send to, to kill and to start again; and a receiver that remembers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store, open_store
from tocsin.state.embedded import running_url
from tocsin.state.evidence_redis import RedisEvidence
from tocsin.state.outbox_redis import RedisOutbox

TOKEN = "a-token-of-at-least-thirty-two-bytes"
DEADLINE_S = 60.0
TOCSIN = (sys.executable, "-m", "tocsin")
T = TypeVar("T")


def until(
    ask: Callable[[], T], what: str | Callable[[], str], within_s: float = DEADLINE_S, every_s: float = 0.02
) -> T:
    """The first true answer; an assertion when it does not come in time."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := ask():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s:.0f} s for {what if isinstance(what, str) else what()}")
        threading.Event().wait(every_s)


class Receiver:
    """A webhook receiver on loopback: remembers what it answered 200 to, in order."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["webhook-id"], json.loads(body)))
                with contextlib.suppress(OSError):  # the sender was killed
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")  # as Slack says it

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Tocsin:
    """One installation: a folder with a config, and at most one process that lives in it."""

    folder: Path
    command: Sequence[str] = TOCSIN
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    address: tuple[str, int] | None = None
    _log_from: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "tocsin.yml"

    @property
    def log(self) -> Path:
        return self.folder / "tocsin.log"

    @property
    def out(self) -> Path:
        return self.folder / "stdout.txt"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; not ready yet."""
        self.starts += 1
        self.address = None
        with self.log.open("ab") as log, self.out.open("ab") as out:
            self._log_from = log.tell()
            self.process = subprocess.Popen(
                [*self.command, "run", "--config", str(self.config), *self.options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=self.folder,
            )  # fmt: skip
        return self.process

    def ready(self) -> tuple[str, int]:
        """Wait until it serves; where."""
        if self.address is None:
            self.address = until(self._listens, lambda: f"a ready service; it said: {self.said()[-3000:]}")
        return self.address

    def ready_or_dead(self) -> None:
        """Wait until it serves, or has ended."""
        until(lambda: self._dead() or self._serves(), "a service")
        self.address = self._serves()

    def said(self) -> str:
        """The log of the process that was started last."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode("utf-8", "replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """That log's lines of this event."""
        lines = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def _dead(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _listens(self) -> tuple[str, int] | None:
        assert not self._dead(), f"it ended: {self.said()[-3000:]}"
        return self._serves()

    def _serves(self) -> tuple[str, int] | None:
        with contextlib.suppress(json.JSONDecodeError):  # a line half written
            for line in self.events("service.ready"):
                host, port = line["listen"].rsplit(":", 1)
                return host, int(port)
        return None

    def children(self) -> list[int]:
        """The process ids of its children: the private server."""
        assert self.process is not None
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
        return found

    def kill(self, *, children: bool = False) -> None:
        """SIGKILL, its server too when `children`."""
        assert self.process is not None
        pids = [self.process.pid, *(self.children() if children else [])]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """GET it; status and text."""
        return self._ask("GET", path, b"")

    def post(self, body: bytes, source: str = "tenant") -> int:
        """POST a body to a source; the status."""
        return self._ask("POST", f"/v1/ingest/{source}", body)[0]

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        host, port = self.address or self.ready()
        connection = http.client.HTTPConnection(host, port, timeout=20)
        try:
            connection.request(method, path, body or None, {"Authorization": TOKEN})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def terminate(self) -> int:
        """SIGTERM, and wait for its end; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    @contextmanager
    def state(self, url: str = "") -> Iterator[State]:
        """What its running server holds; or the one at `url`."""
        url = url or until(lambda: running_url(self.folder / "data"), "the private server")
        store = open_store(url)
        try:
            yield State(store)
        finally:
            store.close()


class State:
    """What a store holds, as tests ask for it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.alerts = RedisAlerts(store, RedisEvidence(store).recall)
        self.outbox = RedisOutbox(store)

    def idle(self, channels: Sequence[str] = ("hook",), source: str = "tenant") -> bool:
        """Whether everything accepted is evaluated, planned and delivered."""
        return (
            not self.store.client.xlen(self.store.key("inbox", source))
            and not self.alerts.unsettled()
            and not any(self.outbox.waiting(channel) for channel in channels)
        )


@dataclass
class Sender:
    """Posts bodies in order, each again and again until it is answered 204, as far as it is allowed."""

    tocsin: Tocsin
    bodies: Sequence[bytes]
    allowed: int = 0
    acked: int = 0
    posts: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Allow all, and wait until all is answered."""
        self.allowed = len(self.bodies)
        until(lambda: self.acked == len(self.bodies), "the sender")
        self.stop()

    def _run(self) -> None:
        while not self._stop.is_set() and self.acked < len(self.bodies):
            if self.acked >= self.allowed or self.tocsin.address is None:
                self._stop.wait(0.005)
                continue
            self.posts += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.tocsin.post(self.bodies[self.acked]) == 204:
                    self.acked += 1
                    continue
            self._stop.wait(0.01)


@contextmanager
def installation(
    rules: str, routing: str, receiver_url: str, *, more: str = "", sources: str = "", server: str = ""
) -> Iterator[Tocsin]:
    """A folder with a config of one source `tenant` and one channel `hook`; what lives there ends with us."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-test-"))  # a unix socket's path must be short
    (folder / "rules.yml").write_text(rules)
    (folder / "routing.yml").write_text(routing)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    (folder / "tocsin.yml").write_text(
        f"{server or 'data_dir: data'}\nrules: [rules.yml]\nrouting: routing.yml\nlisten: 127.0.0.1:0\n"
        "sources:\n  tenant: {type: auth0_stream, tokens: [{file: token}], allowed_lateness: 30s}\n"
        f"{sources}channels:\n"
        f"  hook: {{type: webhook, url: '{receiver_url}', allow_private_cidrs: [127.0.0.0/8]}}\n{more}"
    )
    tocsin = Tocsin(folder)
    try:
        yield tocsin
    finally:
        if tocsin.process is not None and tocsin.process.poll() is None:
            tocsin.process.terminate()
            try:
                tocsin.process.wait(20)
            except subprocess.TimeoutExpired:
                tocsin.kill(children=True)
        shutil.rmtree(folder, ignore_errors=True)
