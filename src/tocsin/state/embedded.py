"""The private Valkey: a child process on a unix socket in the data directory, durable at every write.

It listens on no port, dies with us, and belongs to one process: a lock on the data directory keeps
a second one out, and an orphan of an earlier life is shut down before a new one starts.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tocsin.errors import StoreInUse, StoreUnavailable
from tocsin.state.binary import find_binary

_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108
_STOP_WITHIN_S = 10.0
_POLL_S = 0.005
_PR_SET_PDEATHSIG = 1
_NOTE = "valkey.socket"


class EmbeddedServer:
    """Our own server on `data_dir`.

    Call `start` on a thread that lives as long as the server is needed (the main one): Linux ends
    a child that asked to die with its parent when the *thread* that made it ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        maxmemory: str = "512mb",
        appendfsync: str = "always",
        ready_within_s: float = 60.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._maxmemory = maxmemory
        self._appendfsync = appendfsync
        self._ready_within_s = ready_within_s
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def url(self) -> str:
        """Where it listens, as `open_store` takes it.

        Raises:
            StoreUnavailable: it was not started.
        """
        if self._socket is None:
            raise StoreUnavailable(f"{self.data_dir}: the private server is not running")
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Take the directory, start, and return when it answers (tens of milliseconds on a small store).

        Raises:
            StoreInUse: another live process owns the directory.
            StoreUnavailable: no server program was found, or it did not start.
        """
        binary = find_binary()
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take_lock(self.data_dir)
        except OSError as exc:
            raise StoreUnavailable(f"{self.data_dir}: cannot be the data directory ({exc})") from exc
        try:
            self._end_orphan()
            self._socket = self._place_socket()
            self._process = self._spawn(binary, self._socket)
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def revive(self) -> bool:
        """Start it again if it died (killed by the system, perhaps); whether it had. On `start`'s thread.

        Raises:
            StoreUnavailable: it did not start.
        """
        if self._process is None or self._socket is None or self._process.poll() is None:
            return False
        self._process = self._spawn(find_binary(), self._socket)
        self._await_ready()
        return True

    def stop(self) -> None:
        """Shut down, the append-only file flushed; killed after ten seconds. Safe to call twice."""
        if self._process is not None:
            self._process.terminate()  # SIGTERM is SHUTDOWN to a server
            try:
                self._process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            if not self._socket.is_relative_to(self.data_dir):
                shutil.rmtree(self._socket.parent, ignore_errors=True)
            self._socket = None
            self._note.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _note(self) -> Path:
        """Says where the running server's socket is, to whoever starts next."""
        return self.data_dir / _NOTE

    @property
    def _log(self) -> Path:
        return self.data_dir / "valkey.log"

    def _place_socket(self) -> Path:
        folder = self.data_dir / "run"
        path = folder / "valkey.sock"
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            path = Path(tempfile.mkdtemp(prefix="tocsin-")) / "valkey.sock"
        else:
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            path.unlink(missing_ok=True)
        self._note.write_text(str(path))
        return path

    def _spawn(self, binary: Path, path: Path) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "daemonize": "no",
            "loglevel": "warning",
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "aof-load-truncated": "yes",
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for us, and we stop it when all is saved.
            return subprocess.Popen(
                [str(binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, looked up before the fork
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within_s
        while not _answers(self._socket):
            if self._process is None or self._process.poll() is not None:
                raise StoreUnavailable(
                    f"{self.data_dir}: the private server did not start: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{self.data_dir}: the private server is not ready: {self._last_words()}"
                )
            _pause()

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "; ".join(lines[-3:]) or f"see {self._log}"

    def _end_orphan(self) -> None:
        """Shut down a server that outlived its owner: we hold the lock, so it is nobody's."""
        if not self._note.exists():
            return
        path = Path(self._note.read_text())
        deadline = time.monotonic() + _STOP_WITHIN_S
        while _ask(path, b"SHUTDOWN\r\n") is not None:
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{self.data_dir}: an orphaned server at {path} does not stop; kill it"
                )
            _pause()


def running_url(data_dir: Path) -> str | None:
    """Where the server that another process runs on this directory listens; None when none answers."""
    note = data_dir.absolute() / _NOTE
    try:
        path = Path(note.read_text())
    except OSError:
        return None
    return f"unix://{path}" if _answers(path) else None


def _take_lock(data_dir: Path) -> IO[str]:
    """The directory's lock, held as long as the file is open.

    Python opens files close-on-exec, so the server never inherits it: an orphan holds no lock.
    """
    file = (data_dir / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StoreInUse(
            f"{data_dir}: in use by process {owner}; stop that one first, or give this one another data_dir"
        ) from exc
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server: ask for SIGTERM when we die."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we died before the child could ask
            os._exit(1)

    return ask


def _answers(path: Path | None) -> bool:
    return path is not None and (_ask(path, b"PING\r\n") or b"").startswith(b"+PONG")


def _ask(path: Path, command: bytes) -> bytes | None:
    """The first bytes of the server's answer (empty: it hung up); None when nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(os.fsencode(path))
            connection.sendall(command)
            return connection.recv(256)
    except TimeoutError:
        return b""
    except OSError:
        return None


def _pause() -> None:
    threading.Event().wait(_POLL_S)
