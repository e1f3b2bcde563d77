"""`tocsin run`: the live service."""

from __future__ import annotations

import signal
import threading
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
from tocsin.cli.demo import Demo, demo_settings, unhurried
from tocsin.service import Service
from tocsin.settings import Listen, Settings

log = structlog.get_logger()


def run(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings [default: ./tocsin.yml if there is one].")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Feed it a real attack, to look at.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Evaluate and print; never send.")] = False,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "",
) -> None:
    """Receive events, find attacks, tell people, until Ctrl-C or SIGTERM.

    Example: tocsin run --config tocsin.yml
    """
    settings = settings_of(config)
    if demo:
        settings = demo_settings(settings)
    telemetry.setup_logging(level=log_level or ("warning" if demo else "info"))
    refuse_open_receiver(settings.listen, settings.sources)
    stopped = threading.Event()
    _on_signals(stopped)
    with build(settings, dry_run=dry_run) as parts:
        _serve(unhurried(parts) if demo else parts, settings, stopped, demo=demo)


def _serve(parts: Parts, settings: Settings, stopped: threading.Event, *, demo: bool) -> None:
    service = Service(parts)
    app = make_app(
        inbox=parts.inbox,
        tokens=tokens_of(settings.sources),
        clock=parts.clock,
        readiness=service.trouble,
        registry=telemetry.REGISTRY,
    )
    server = HttpServer(app, settings.listen)
    address = server.start()
    service.start()
    _greet(parts, address)
    try:
        if demo:
            Demo(address, stopped).start()
        stopped.wait()
    finally:
        server.stop()
        service.stop()


def _greet(parts: Parts, address: Listen) -> None:
    rules, channels = len(parts.ruleset.rules), ", ".join(parts.channels)
    log.info("service.ready", rules=rules, channels=channels, listen=str(address))
    for warning in parts.ruleset.warnings:
        log.warning("rule.warning", warning=str(warning))


def _on_signals(stopped: threading.Event) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
