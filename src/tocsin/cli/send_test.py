"""`tocsin send-test`: see what an alert looks like in a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.alerts.notice import sample
from tocsin.app import make_channels, make_renderer
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
    """Send a made-up alert to one channel, now.

    Says what the other side answered.

    Example: tocsin send-test oncall --config tocsin.yml
    """
    settings = settings_of(config)
    channels, types = make_channels(settings)
    if channel not in channels:
        known = ", ".join(sorted(channels))
        raise ConfigError(f'there is no channel "{channel}"{nearest(channel, channels)}; there are: {known}')
    renderer = make_renderer(settings)
    now = SystemClock().now()
    notification = renderer.render(sample(channel, now), types[channel], channel, now)
    try:
        answer = channels[channel].send(notification)
    except DeliveryError as exc:
        typer.echo(f"{channel}: not delivered: {exc}", err=True)
        raise typer.Exit(1) from exc
    typer.echo(f"{channel}: delivered ({answer})", err=True)
