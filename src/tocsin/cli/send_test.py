"""`tocsin send-test`: see what an alert looks like in a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.alerts.notice import sample
from tocsin.alerts.render import Renderer
from tocsin.app import make_channels
from tocsin.cli.connect import settings_of
from tocsin.clock import SystemClock
from tocsin.errors import ConfigError, DeliveryError
from tocsin.settings import nearest


def send_test(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="A channel of the settings.")],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
    ] = None,
) -> None:
    """Send a made-up alert to one channel, now, and say what the other side answered.

    Example: tocsin send-test oncall --config tocsin.yml
    """
    settings = settings_of(config)
    channels, types = make_channels(settings)
    if channel not in channels:
        known = ", ".join(sorted(channels))
        raise ConfigError(f'there is no channel "{channel}"{nearest(channel, channels)}; there are: {known}')
    renderer = Renderer(settings.templates, external_url=settings.external_url, timezone=settings.timezone)
    now = SystemClock().now()
    notification = renderer.render(sample(channel, now), types[channel], channel, now)
    try:
        answer = channels[channel].send(notification)
    except DeliveryError as exc:
        typer.echo(f"{channel}: not delivered: {exc}", err=True)
        raise typer.Exit(1) from exc
    typer.echo(f"{channel}: delivered ({answer})", err=True)
