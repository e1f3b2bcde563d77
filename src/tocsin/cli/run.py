"""`tocsin run`: the live service."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer

from tocsin import telemetry
from tocsin.api.app import make_app
from tocsin.api.doors import refuse_open_receiver, tokens_of
from tocsin.api.server import HttpServer
from tocsin.app import Parts, build
from tocsin.cli.connect import settings_of
from tocsin.cli.demo import Demo, demo_settings, unhurried, welcome
from tocsin.errors import StoreError
from tocsin.rules.tools.reach import unread_told
from tocsin.service import Service
from tocsin.settings import Listen

LOG_LEVELS = ("debug", "info", "warning", "error")
REVIVE_EVERY_S = 1.0
log = structlog.get_logger()


def run(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Feed it a real attack, to look at.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print messages; never send one.")] = False,
    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL", help="debug, info, warning or error [default: info; with --demo warning]."
        ),
    ] = "",
) -> None:
    """Start the service: receive events, find attacks, tell people.

    It runs until Ctrl-C or SIGTERM, and then stops within 15 seconds with nothing lost; SIGHUP makes it
    read the rules anew. With --demo it has a store, a source and a channel of its own, so that nothing
    reaches your real ones.

    Example: tocsin run --config tocsin.yml
    """
    _check_level(log_level)
    settings = settings_of(config)
    if demo:
        settings = demo_settings(settings)
    telemetry.setup_logging(level=log_level or ("warning" if demo else "info"))
    refuse_open_receiver(settings.listen, settings.sources, settings.document)
    tokens = tokens_of(settings.sources)
    stopped, reload_asked = threading.Event(), threading.Event()
    _on_signals((signal.SIGINT, signal.SIGTERM), stopped)
    if not demo:  # a demo ends with its terminal
        _on_signals((signal.SIGHUP,), reload_asked)
    with build(settings, dry_run=dry_run) as made:
        parts = unhurried(made) if demo else made
        _serve(Service(parts, reload_asked), parts, tokens, stopped, demo=demo)


def _serve(
    service: Service,
    parts: Parts,
    tokens: Mapping[str, Sequence[bytes]],
    stopped: threading.Event,
    *,
    demo: bool,
) -> None:
    app = make_app(
        inbox=parts.inbox,
        tokens=tokens,
        clock=parts.clock,
        readiness=service.trouble,
        registry=telemetry.REGISTRY,
        reload=parts.reloader.reload,
        note=service.note,
    )
    server = HttpServer(app, parts.settings.listen)
    address = server.start()
    service.start()
    _greet(parts, address)
    try:
        if demo:
            welcome(parts, address)
            Demo(parts, address, stopped).start()
        while not stopped.wait(REVIVE_EVERY_S):
            _revive(parts)
    finally:
        service.wind_down()
        server.stop()
        service.stop()


def _revive(parts: Parts) -> None:
    """Here, on the main thread: our own server dies with the thread that starts it."""
    try:
        if parts.revive():
            log.warning("store.revived", store=parts.store.shown)
    except StoreError as exc:
        log.error("store.down", error=str(exc))  # noqa: TRY400 - the message says it all


def _greet(parts: Parts, address: Listen) -> None:
    rules, channels = len(parts.ruleset.rules), ", ".join(parts.channels)
    log.info("service.ready", rules=rules, channels=channels, listen=str(address),
             sources=[source.name for source in parts.sources])  # fmt: skip
    for warning in parts.ruleset.warnings:
        log.warning("rule.warning", warning=str(warning))
    for name, source in parts.settings.sources.items():
        if told := unread_told(parts.ruleset, source.provider, f"sources.{name}"):
            log.warning("source.unread", source=name, warning=told)


def _check_level(level: str) -> None:
    if level and level.lower() not in LOG_LEVELS:
        raise typer.BadParameter(f"{level!r} is none of: {', '.join(LOG_LEVELS)}", param_hint="--log-level")


def _on_signals(names: Sequence[signal.Signals], heard: threading.Event) -> None:
    def hear(number: int, frame: FrameType | None) -> None:
        del number, frame
        heard.set()

    for name in names:
        signal.signal(name, hear)
