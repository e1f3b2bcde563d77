"""The state store for commands that look at it or change it while the service runs, or without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import StoreUnavailable
from tocsin.protocols import Alerts, Outbox, Quarantine, Silences
from tocsin.settings import Settings, load_settings
from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store, open_store
from tocsin.state.embedded import EmbeddedServer, running_url
from tocsin.state.evidence_redis import RedisEvidence
from tocsin.state.outbox_redis import RedisOutbox
from tocsin.state.quarantine import RedisQuarantine
from tocsin.state.silences import RedisSilences
from tocsin.telemetry import visible

DEFAULT_CONFIG = Path("tocsin.yml")
DEMO = "demo"  # the demo's own directory, in the data directory


@dataclass(frozen=True, slots=True)
class State:
    """What commands read and change."""

    settings: Settings
    alerts: Alerts
    outbox: Outbox
    silences: Silences
    quarantine: Quarantine


def settings_of(config: Path | None) -> Settings:
    """The settings in `config`, else in ./tocsin.yml, else the defaults."""
    return load_settings(config_of(config))


def config_of(config: Path | None) -> Path | None:
    """The file of the settings; None where there is none."""
    return DEFAULT_CONFIG if config is None and DEFAULT_CONFIG.exists() else config


@contextmanager
def open_state(config: Path | None) -> Iterator[State]:
    """The store of the service with this config; a running service's own, or the data directory itself."""
    settings = settings_of(config)
    with ExitStack() as stack:
        store = _store(settings, stack)
        yield State(
            settings,
            RedisAlerts(store, RedisEvidence(store).recall),
            RedisOutbox(store),
            RedisSilences(store),
            RedisQuarantine(store),
        )


def _store(settings: Settings, stack: ExitStack) -> Store:
    if settings.redis_url is not None:
        url = settings.redis_url.reveal()
    else:
        data_dir = _data_dir(settings.data_dir)
        url = running_url(data_dir) or stack.enter_context(EmbeddedServer(data_dir)).url
    store = open_store(url)
    stack.callback(store.close)
    return store


def _data_dir(data_dir: Path) -> Path:
    """The directory of the service, or of the demo where only that runs, or only that ever ran.

    Raises:
        StoreUnavailable: neither ever ran.
    """
    demo = data_dir / DEMO
    places = (data_dir, demo)
    found = [place for place in places if running_url(place)] or [p for p in places if (p / "lock").exists()]
    if not found:
        raise StoreUnavailable(f"{data_dir}: holds no state; start `tocsin run` first, or name its --config")
    if found[0] == demo:
        sys.stderr.write(f"tocsin: this is the demo's state, in {visible(str(demo))}\n")
    return found[0]
