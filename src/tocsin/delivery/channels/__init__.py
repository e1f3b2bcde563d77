"""The channels by type. One channel a file, its config beside its send(); a new one is one line here."""

from datetime import timedelta
from typing import Any, Protocol

from pydantic import BaseModel

from tocsin.delivery.channels.console import ConsoleChannel
from tocsin.delivery.channels.email import EmailChannel
from tocsin.delivery.channels.slack import SlackChannel
from tocsin.delivery.channels.webhook import WebhookChannel
from tocsin.delivery.outside import Outside
from tocsin.protocols import Channel


class PacedChannel(Channel, Protocol):
    """A channel of ours: between the beginnings of two sends lies at least `min_interval`."""

    @property
    def type(self) -> str:
        """As in the config; the template's name."""

    @property
    def min_interval(self) -> timedelta:
        """Nothing for most."""


class ChannelType(Protocol):
    """What the registry holds: a channel's class, called with its name, its config and the outside."""

    @property
    def Config(self) -> type[BaseModel]:  # noqa: N802 - a class attribute that is a class
        """The model of the channel's settings."""

    def __call__(self, name: str, config: Any, outside: Outside | None = None, /) -> PacedChannel:
        """Make one; nothing is opened yet."""


CHANNELS: dict[str, ChannelType] = {
    "console": ConsoleChannel,
    "email": EmailChannel,
    "slack": SlackChannel,
    "webhook": WebhookChannel,
}
