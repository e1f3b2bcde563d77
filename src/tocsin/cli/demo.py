"""The demo: a real attack, posted to the receiver as its sender would, a little at a time."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import timedelta
from importlib import resources

import httpx2
import structlog

from tocsin.alerts.route import Route
from tocsin.app import Parts
from tocsin.settings import Listen, Settings

EVENTS_A_POST = 20
PAUSE_S = 0.1
SOURCE = "auth0"
log = structlog.get_logger()


def demo_settings(settings: Settings) -> Settings:
    """The settings with a fresh data directory of the demo's own; no episode is too old to be told."""
    data_dir = settings.data_dir / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    return settings.model_copy(update={"data_dir": data_dir, "notify_max_age": None})


def unhurried(parts: Parts) -> Parts:
    """The parts with routes that tell at once: three weeks pass in seconds here."""
    return replace(parts, routes=_at_once(parts.routes))


def _at_once(route: Route) -> Route:
    routes = tuple(_at_once(child) for child in route.routes)
    return replace(route, group_wait=timedelta(), group_interval=timedelta(seconds=1), routes=routes)


class Demo(threading.Thread):
    """Posts the bundled attack to the receiver at `address`."""

    def __init__(self, address: Listen, stopped: threading.Event) -> None:
        super().__init__(name="demo", daemon=True)
        self._url = f"http://{address}/v1/ingest/{SOURCE}"
        self._stopped = stopped

    def run(self) -> None:
        """Post it, in event order; an answer that is no 204 ends the demo with a log line."""
        text = resources.files("tocsin.sources").joinpath("demo", "ssh_attack_as_auth0.ndjson").read_bytes()
        lines = text.splitlines(keepends=True)
        try:
            for start in range(0, len(lines), EVENTS_A_POST):
                body = b"".join(lines[start : start + EVENTS_A_POST])
                httpx2.post(self._url, content=body).raise_for_status()
                if self._stopped.wait(PAUSE_S):
                    return
        except httpx2.HTTPError as exc:
            log.error("demo.failed", error=str(exc))  # noqa: TRY400 - the message says it all
