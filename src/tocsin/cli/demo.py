"""The demo: a real attack, posted to the receiver as its sender would, a little at a time."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

import httpx2
import msgspec
import structlog
from rich.console import Console
from rich.text import Text

from tocsin import __version__
from tocsin.alerts.route import Route
from tocsin.app import Parts
from tocsin.cli.connect import DEMO
from tocsin.clock import to_ms
from tocsin.errors import StoreError
from tocsin.settings import Listen, Settings, SourceSettings, shipped
from tocsin.state.embedded import running_url

EVENTS_A_POST = 20
PAUSE_S = 0.15
LOOK_EVERY_S = 0.5
CALM_LOOKS = 4
GROUP_INTERVAL = timedelta(milliseconds=300)  # so that a rise in severity is told before the end
SOURCE = "auth0"
log = structlog.get_logger()


def demo_settings(settings: Settings) -> Settings:
    """The settings with a store, a source and a channel of the demo's own; the rules stay.

    Nothing of the demo reaches a real channel or a real store, and no episode is too old to be
    told. The data directory is made anew, unless another demo works in it.
    """
    data_dir = settings.data_dir / DEMO
    if running_url(data_dir) is None:
        shutil.rmtree(data_dir, ignore_errors=True)
    return settings.model_copy(
        update={
            "data_dir": data_dir,
            "redis_url": None,
            "sources": {SOURCE: SourceSettings(type="auth0_stream")},
            "channels": {"terminal": {"type": "console"}},
            "routing": shipped("alerts") / "routing.yml",
            "heartbeat": None,
            "notify_max_age": None,
        }
    )


def unhurried(parts: Parts) -> Parts:
    """The parts with routes that tell at once: three weeks pass in seconds here."""
    return replace(parts, routes=_at_once(parts.routes))


def _at_once(route: Route) -> Route:
    routes = tuple(_at_once(child) for child in route.routes)
    return replace(route, group_wait=timedelta(), group_interval=GROUP_INTERVAL, routes=routes)


def welcome(parts: Parts, address: Listen) -> None:
    """What this is, where it listens, what it is fed, how to stop it, and what to try next."""
    rows = (
        ("watches", f"{len(parts.ruleset.rules)} rules; their alerts come to this terminal"),
        ("listens", f"http://{address}/v1/ingest/{SOURCE}"),
        (
            "is fed",
            f"{len(_attack()):,} events of a real brute-force attack on a server, told as Auth0 would",
        ),
        ("keeps", f"its state in {parts.settings.data_dir}, made anew each time"),
        ("stops", "with Ctrl-C"),
    )
    text = Text.assemble(("tocsin", "bold"), f" {__version__}: the demo\n")
    for label, value in rows:
        text.append(f"   {label:<14} ", style="dim").append(f"{value}\n")
    text.append("   meanwhile, in another terminal:\n", style="dim")
    for command in ("alerts list", "outbox list", "events limit_wc"):
        text.append(f"{'':18}{_program()} {command}\n", style="cyan")
    _say(text)


class Demo(threading.Thread):
    """Posts the bundled attack to the receiver at `address`, and says when all of it was told."""

    def __init__(self, parts: Parts, address: Listen, stopped: threading.Event) -> None:
        super().__init__(name="demo", daemon=True)
        self._parts, self._address, self._stopped = parts, address, stopped

    def run(self) -> None:
        """Post it, in event order; an answer that is no 204 ends the demo with a log line."""
        try:
            if self._fed() and self._told():
                self._farewell()
        except httpx2.HTTPError as exc:
            log.error("demo.failed", error=str(exc))  # noqa: TRY400 - the message says it all
        except StoreError as exc:
            if not self._stopped.is_set():
                log.error("demo.failed", error=str(exc))  # noqa: TRY400

    def _fed(self) -> bool:
        lines = _attack()
        with httpx2.Client(trust_env=False) as client:
            for start in range(0, len(lines), EVENTS_A_POST):
                body = b"".join(lines[start : start + EVENTS_A_POST])
                client.post(f"http://{self._address}/v1/ingest/{SOURCE}", content=body).raise_for_status()
                if self._stopped.wait(PAUSE_S):
                    return False
        return True

    def _told(self) -> bool:
        """Wait until every event was evaluated and nothing more is said for a while; False if stopped."""
        calm, told = 0, -1
        while calm < CALM_LOOKS:
            if self._stopped.wait(LOOK_EVERY_S):
                return False
            before, told = told, self._messages()
            calm = calm + 1 if self._evaluated() and told == before else 0
        return True

    def _evaluated(self) -> bool:
        _, newest_ms = self._parts.positions.load(SOURCE)
        return max(newest_ms.values(), default=0) >= _moment_ms(_attack()[-1])

    def _messages(self) -> int:
        return len(self._parts.outbox.find(status="sent", limit=10_000))

    def _farewell(self) -> None:
        alerts = len(self._parts.alerts.find(limit=10_000))
        told = f"That was the attack: {alerts} alerts in {self._messages()} messages, resolved ones included."
        _say(
            Text.assemble((told, "bold"), f"\nStill listening on http://{self._address}; Ctrl-C stops it.\n")
        )


@cache
def _attack() -> list[bytes]:
    text = resources.files("tocsin.sources").joinpath("demo", "ssh_attack_as_auth0.ndjson").read_bytes()
    return text.splitlines(keepends=True)


def _moment_ms(line: bytes) -> int:
    return to_ms(datetime.fromisoformat(msgspec.json.decode(line)["date"]))


def _program() -> str:
    """How this program was called, as short as it can be written here."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which("tocsin") == str(called):
        return "tocsin"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def _say(text: Text) -> None:
    Console(highlight=False, soft_wrap=True).print(text)
