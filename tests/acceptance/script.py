"""A script with a clock: `play.at(0).events(…)`, `play.at(31).expect("hook", …)`.

Everything is real but time: the store, the inbox, the rules, the templates, HTTP and SMTP. Between
two times of a script the loops' steps are taken when they are due, and once a minute at least.
"""

from __future__ import annotations

import asyncio
import json
import random  # noqa: TID251 - seeded
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from tocsin.alerts.routing_file import load_routing
from tocsin.app import Parts, make_channels, make_renderer
from tocsin.clock import ManualClock, iso, to_ms
from tocsin.delivery.worker import Worker
from tocsin.engine import Engine
from tocsin.loops import Detect, Health, Notify, Signals
from tocsin.model.compiled import RuleSet
from tocsin.model.silence import Silence, parse_matcher
from tocsin.model.watermark import Watermarks
from tocsin.notices import Notices
from tocsin.protocols import Batch
from tocsin.reload import AtWork, Changes, Refused, Reloader, load_of, signature_of
from tocsin.settings import load_settings
from tocsin.sources.decode import Decoder
from tocsin.sources.stream import StreamSource
from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store
from tocsin.state.evidence_redis import RedisEvidence
from tocsin.state.inbox import RedisInbox
from tocsin.state.outbox_redis import RedisOutbox
from tocsin.state.positions import RedisPositions
from tocsin.state.quarantine import RedisQuarantine
from tocsin.state.rule_states import RedisRuleStates
from tocsin.state.silences import RedisSilences
from tocsin.state.windows_redis import RedisWindows

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATENESS_S = 60


class Hook:
    """An HTTP receiver; `answers` are the statuses it gives first, then 200."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    hook.got.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Mailbox:
    """An SMTP server; the messages it took."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: SMTP(self, hostname="mx.example", loop=self._loop), "127.0.0.1", 0
            )
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@dataclass
class Play:
    """One service without threads; its clock stands where `at` put it."""

    parts: Parts
    clock: ManualClock
    hooks: dict[str, Hook]
    mailbox: Mailbox
    detect: Detect
    notify: Notify
    workers: dict[str, Worker]
    seen: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def at(self, seconds: float) -> Play:
        """Live until then."""
        until = START + timedelta(seconds=seconds)
        assert until >= self.clock.now(), "a script goes forward"
        while True:
            next_at = self.settle()
            if self.clock.now() >= until:
                return self
            due = next_at if next_at is not None and next_at > self.clock.now() else until
            self.clock.set(min(until, due, self.clock.now() + MINUTE))

    def events(self, *records: dict[str, Any]) -> Play:
        """A body of records arrives, and is worked on; times are seconds of the script."""
        self.arrives(*records).settle()
        return self

    def arrives(self, *records: dict[str, Any]) -> Play:
        """A body of records is accepted, and no more."""
        body = json.dumps([self._sent(record) for record in records]).encode()
        self.parts.inbox.append("tenant", body, self.clock.now())
        return self

    def body(self, body: bytes) -> Play:
        """A body arrives, whatever it is, and is worked on."""
        self.parts.inbox.append("tenant", body, self.clock.now())
        self.settle()
        return self

    def reload(self, rules: str) -> Changes | Refused:
        """Other rules are written to the file, and read."""
        self.parts.settings.rules[0].write_text(rules)
        return self.parts.reloader.reload()

    def silence(self, matcher: str, seconds: float) -> Play:
        """Silence what matches from now on, for so long."""
        now = self.clock.now()
        self.parts.silences.add(
            Silence(
                id="s1",
                matchers=(parse_matcher(matcher),),
                starts_at=now,
                ends_at=now + timedelta(seconds=seconds),
            )
        )
        return self

    def expect(self, channel: str, *messages: set[str]) -> Play:
        """What the channel was told since the last time it was asked: a set of `status rule` a message."""
        got = self.hooks[channel].got[self.seen.get(channel, 0) :]
        self.seen[channel] = len(self.hooks[channel].got)
        told = [{f"{a['status']} {a['rule']}" for a in message["alerts"]} for message in got]
        assert told == list(messages)
        return self

    def alerts(self) -> list[Any]:
        """All alerts that fired, by rule and start."""
        return sorted(self.parts.alerts.find(), key=lambda alert: (alert.rule, alert.started_ms))

    def settle(self) -> datetime | None:
        """Take every step that is due; when the next one is."""
        while True:
            self.detected()
            planned = self.notify.step()
            times = [worker.run_once(self.clock.now()) for worker in self.workers.values()]
            busy = [at for at in times if at is not None and at <= self.clock.now()]
            if not busy and not planned.sends:
                waiting = [at for at in [planned.next_at, *times] if at is not None]
                return min(waiting, default=None)

    def detected(self) -> None:
        """Evaluate what has arrived, and tell nobody yet."""
        source = self.detect.source
        position, _ = self.parts.positions.load(source.name)
        batches = source.read(position)
        while self.parts.store.client.xlen(self.parts.store.key("inbox", source.name)):
            self.detect.step(next(batches))
        # What an idle source yields; waiting for it costs a server's tick, a tenth of a second.
        self.detect.step(Batch([], position or "0-0"))

    def _sent(self, record: dict[str, Any]) -> dict[str, Any]:
        data = {k: v for k, v in record.items() if k != "at"}
        data.setdefault("log_id", f"log{next(self.numbers)}")
        data.setdefault("tenant_name", "acme")
        data["date"] = iso(to_ms(START + timedelta(seconds=record["at"])))
        return {"log_id": data["log_id"], "data": data}


def fails(ip: str, *times: float, users: Sequence[str] = ("ann",), **more: Any) -> list[dict[str, Any]]:
    """Failed logins of an address at these times, the users in turn."""
    return [
        {"at": at, "type": "fp", "ip": ip, "user_name": users[n % len(users)], **more}
        for n, at in enumerate(times)
    ]


@contextmanager
def play(
    store: Store,
    folder: Path,
    rules: str,
    routing: str,
    *,
    more: str = "",
    change: Callable[[RuleSet], RuleSet] | None = None,
    begin: datetime = START,
) -> Iterator[Play]:
    """The service of these rules and routes, with the channels hook, other (webhooks), chat and mail."""
    hooks = {name: Hook() for name in ("hook", "other", "chat")}
    mailbox = Mailbox()
    (folder / "rules.yml").write_text(rules)
    (folder / "routing.yml").write_text(routing)
    (folder / "chat").write_text(hooks["chat"].url)
    (folder / "chat").chmod(0o600)
    (folder / "tocsin.yml").write_text(_config(hooks, mailbox, more))
    clock = ManualClock(begin)
    try:
        parts = _parts(store, folder / "tocsin.yml", clock)
        made = _play(parts, clock, hooks, mailbox)
        if change is not None:
            changed = change(parts.ruleset)
            parts.reloader.rules.swap(lambda: AtWork(changed, _engine(store, changed)))
        yield made
    finally:
        for hook in hooks.values():
            hook.close()
        mailbox.close()


def _config(hooks: dict[str, Hook], mailbox: Mailbox, more: str) -> str:
    private = "allow_private_cidrs: [127.0.0.0/8]"
    return (
        "rules: [rules.yml]\nrouting: routing.yml\n"
        f"sources: {{tenant: {{type: auth0_stream, allowed_lateness: {LATENESS_S}s}}}}\nchannels:\n"
        f"  hook: {{type: webhook, url: '{hooks['hook'].url}', {private}}}\n"
        f"  other: {{type: webhook, url: '{hooks['other'].url}', {private}}}\n"
        f"  chat: {{type: slack, webhook_url: {{file: chat}}, {private}}}\n"
        f"  mail: {{type: email, host: 127.0.0.1, port: {mailbox.port}, tls: none, "
        f"sender: t@example.com, to: [soc@example.com]}}\n{more}"
    )


def _parts(store: Store, config: Path, clock: ManualClock) -> Parts:
    settings = load_settings(config)
    signature, loaded = signature_of(settings), load_of(settings)
    channels, types = make_channels(settings)
    inbox = RedisInbox(store)
    decoder = Decoder(loaded.ruleset.fields, default_tenant=settings.tenant)
    lateness = settings.sources["tenant"].allowed_lateness
    sources = [StreamSource(inbox, "tenant", decoder, lateness, idle=timedelta(milliseconds=1))]
    watermarks = Watermarks(clock.now())
    return Parts(
        settings=settings,
        store=store,
        revive=lambda: False,
        reloader=Reloader(
            settings,
            loaded,
            signature=signature,
            engine=lambda ruleset: _engine(store, ruleset),
            states=RedisRuleStates(store),
            sources=sources,
            watermarks=watermarks,
            clock=clock,
        ),
        inbox=inbox,
        sources=sources,
        alerts=RedisAlerts(store, RedisEvidence(store).recall),
        positions=RedisPositions(store),
        quarantine=RedisQuarantine(store),
        silences=RedisSilences(store),
        outbox=RedisOutbox(store),
        watermarks=watermarks,
        routes=load_routing(settings.routing, set(channels)),
        renderer=make_renderer(settings),
        channels=channels,
        channel_types=types,
        clock=clock,
        rng=random.Random(1),
    )


def _engine(store: Store, ruleset: RuleSet) -> Engine:
    return Engine(ruleset, RedisWindows(store), RedisEvidence(store))


def _play(parts: Parts, clock: ManualClock, hooks: dict[str, Hook], mailbox: Mailbox) -> Play:
    signals, health = Signals(), Health()
    notices = Notices(parts, signals)
    (source,) = parts.sources
    _, newest_ms = parts.positions.load(source.name)
    parts.watermarks.restore(source.name, newest_ms, source.allowed_lateness, clock.now())
    parts.reloader.begin()
    detect = Detect(
        source, parts.reloader.rules, parts.alerts, parts.positions, parts.quarantine, parts.watermarks,
        clock, signals, health, trim=source.trim,
    )  # fmt: skip
    notify = Notify(
        parts.alerts, parts.outbox, parts.silences, parts.routes, parts.renderer, parts.channel_types,
        parts.settings.notify_max_age, clock, signals, health,
    )  # fmt: skip
    workers = {
        name: Worker(parts.outbox, channel, clock, parts.rng, on_dead=notices.dead_letter)
        for name, channel in parts.channels.items()
    }
    return Play(parts, clock, hooks, mailbox, detect, notify, workers)
