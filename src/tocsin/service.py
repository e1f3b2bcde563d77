"""The service at work: a thread per loop, and the scheduler for what recurs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from tocsin import telemetry
from tocsin.app import Parts
from tocsin.delivery.worker import Worker
from tocsin.errors import StoreError
from tocsin.loops import Deliver, Detect, Health, Notify, Reload, Signals, supervise
from tocsin.loops.reload import NAME as RELOAD
from tocsin.notices import Notices
from tocsin.reload import Watch
from tocsin.state.inbox import FULL

SWEEP_EVERY = timedelta(seconds=30)
LOOK_EVERY = timedelta(seconds=5)  # at how full the store is
RETENTION_EVERY = timedelta(hours=1)
TOLD_KEPT = timedelta(days=30)  # deliveries and silences that are over
WATCH_EVERY = timedelta(seconds=2)  # at the rule files; they are read when two looks agree
STOP_WITHIN = timedelta(seconds=6)
log = structlog.get_logger()


class Service:
    """Start it once, stop it once. What it does in between is in `loops`."""

    def __init__(self, parts: Parts, reload_asked: threading.Event | None = None) -> None:
        self.health = Health()
        self._parts = parts
        self._signals = Signals(reload=reload_asked or threading.Event())
        self._notices = Notices(parts, self._signals)
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._threads = [
            threading.Thread(
                target=supervise, args=(name, once, self._signals, self.health), name=name, daemon=True
            )
            for name, once in self._loops().items()
        ]

    def start(self) -> None:
        """Set every loop going, and the scheduler."""
        parts = self._parts
        if parts.settings.redis_url is None:  # our own server: nobody else can hold a lease on it
            parts.outbox.take_back()
        for source in parts.sources:  # all of them, before one loop judges how far the others are
            _, newest_ms = parts.positions.load(source.name)
            parts.watermarks.restore(source.name, newest_ms, source.allowed_lateness, parts.clock.now())
        parts.reloader.begin()
        self._every(SWEEP_EVERY, self._sweep)
        self._every(RETENTION_EVERY, self._forget)
        self._every(LOOK_EVERY, self._look)
        if parts.settings.watch_rules:
            watch = Watch(parts.reloader.look, lambda: parts.reloader.tried)
            self._every(WATCH_EVERY, partial(self._watch, watch))
        heartbeat = parts.settings.heartbeat
        if heartbeat is not None:
            self._every(heartbeat.every, partial(self._notices.heartbeat, heartbeat.channel))
        self._scheduler.start()
        for thread in self._threads:
            thread.start()

    def wind_down(self) -> None:
        """Tell the loops to end, without waiting for them."""
        self._signals.end()

    def stop(self) -> None:
        """Let every loop finish its step, then end; what is undone is done at the next start."""
        self.wind_down()
        self._scheduler.shutdown(wait=False)
        deadline = self._parts.clock.now() + STOP_WITHIN
        for thread in self._threads:
            thread.join(max(0.0, (deadline - self._parts.clock.now()).total_seconds()))
        late = [thread.name for thread in self._threads if thread.is_alive()]
        log.info("service.stopped", unfinished=late) if late else log.info("service.stopped")

    def trouble(self) -> str | None:
        """Why it is not ready; None when it is."""
        try:
            used, most = self._parts.store.filled()
        except StoreError as exc:
            return str(exc)
        if most and used > FULL * most:
            return f"the store is nearly full: {used:,} of {most:,} bytes"
        return self.health.trouble()

    def note(self) -> str | None:
        """What an operator should know though it is ready; None when all is well."""
        refused = self._parts.reloader.refused
        if refused is None:
            return None
        return f"the rules on disk are refused (mistakes: {len(refused.errors)}); those before are at work"

    def _loops(self) -> dict[str, Callable[[], None]]:
        """Each loop's step, by the loop's name."""
        parts = self._parts
        loops: dict[str, Callable[[], None]] = {}
        rules = parts.reloader.rules
        for source in parts.sources:
            loops[f"detect {source.name}"] = Detect(
                source, rules, parts.alerts, parts.positions, parts.quarantine, parts.watermarks,
                parts.clock, self._signals, self.health, trim=source.trim,
            ).once  # fmt: skip
        loops["notify"] = Notify(
            parts.alerts, parts.outbox, parts.silences, parts.routes, parts.renderer, parts.channel_types,
            parts.settings.notify_max_age, parts.clock, self._signals, self.health,
        ).once  # fmt: skip
        loops[RELOAD] = Reload(
            parts.reloader.reload, self._notices.rules_read, self._signals, self.health
        ).once  # fmt: skip
        for name, channel in parts.channels.items():
            worker = Worker(
                parts.outbox, channel, parts.clock, parts.rng,
                stop=self._signals.stop, on_dead=self._notices.dead_letter,
                alone=parts.settings.redis_url is None,
            )  # fmt: skip
            loops[f"deliver {name}"] = Deliver(worker, parts.clock, self._signals, self.health).once
        return loops

    def _every(self, interval: timedelta, job: Callable[[], None]) -> None:
        self._scheduler.add_job(
            partial(_safely, job),
            "interval",
            seconds=interval.total_seconds(),
            coalesce=True,
            max_instances=1,
        )

    def _sweep(self) -> None:
        now = self._parts.clock.now()
        for tenant in self._parts.watermarks.tenants():
            committed_ms = self._parts.watermarks.behind(tenant, now)
            engine = self._parts.reloader.rules.now.engine
            telemetry.GROUPS_CAPPED.inc(engine.sweep(tenant, committed_ms=committed_ms))

    def _watch(self, watch: Watch) -> None:
        if watch.rested():
            self._signals.reload.set()

    def _look(self) -> None:
        self._notices.store_filled(*self._parts.store.filled())

    def _forget(self) -> None:
        now = self._parts.clock.now()
        self._parts.alerts.forget(now - self._parts.settings.retention.alerts)
        self._parts.outbox.forget(now - TOLD_KEPT)
        self._parts.silences.forget(now - TOLD_KEPT)


def _safely(job: Callable[[], None]) -> None:
    """The store may be away just now; the job comes again."""
    try:
        job()
    except StoreError as exc:
        log.warning("job.failed", error=str(exc))
