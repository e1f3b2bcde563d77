"""Slack: an incoming webhook. The URL is a secret: whoever knows it can post."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from tocsin.delivery.addresses import Network
from tocsin.delivery.http import failure, json_bytes, post
from tocsin.delivery.outside import Outside
from tocsin.errors import ConfigError, TemporaryFailure
from tocsin.model.notification import Notification
from tocsin.settings import Duration, Secret

# Slack's error words (`invalid_token`, `no_service`); anything else it says is not repeated.
_ERROR_WORD = re.compile(rb"[a-z][a-z_]{2,40}")


class SlackConfig(BaseModel):
    """`{type: slack, webhook_url: {env: SLACK_WEBHOOK_URL}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["slack"] = "slack"
    webhook_url: Secret
    timeout: Duration = timedelta(seconds=10)
    allow_private_cidrs: tuple[Network, ...] = ()


class SlackChannel:
    """Posts a notification's body, Block Kit as the template made it."""

    Config: ClassVar[type[SlackConfig]] = SlackConfig
    type: ClassVar[str] = "slack"
    # https://api.slack.com/apis/rate-limits: one message a second a webhook.
    min_interval: ClassVar[timedelta] = timedelta(seconds=1)

    def __init__(self, name: str, config: SlackConfig, outside: Outside | None = None) -> None:
        self.name = name
        self._config = config
        self._outside = outside or Outside()

    def send(self, notification: Notification) -> str:
        try:
            url = self._config.webhook_url.reveal()
        except ConfigError as exc:
            raise TemporaryFailure(str(exc)) from exc  # an operator is rotating it, perhaps
        answer = post(
            url,
            json_bytes(notification.body),
            headers={},
            outside=self._outside,
            allowed=self._config.allow_private_cidrs,
            timeout=self._config.timeout,
        )
        word = answer.body.decode("ascii", "replace") if _ERROR_WORD.fullmatch(answer.body) else ""
        if (failed := failure(answer, self._outside.clock.now(), word=word)) is not None:
            raise failed
        return str(answer.status)
