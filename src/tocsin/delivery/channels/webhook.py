"""A webhook: JSON to a URL, signed as Standard Webhooks says (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from tocsin.clock import to_ms
from tocsin.delivery.addresses import Network
from tocsin.delivery.http import failure, json_bytes, post
from tocsin.delivery.outside import Outside
from tocsin.errors import ConfigError, TemporaryFailure
from tocsin.model.notification import Notification
from tocsin.settings import Duration, Secret, SecretUrl

_PREFIX = "whsec_"


def _web(url: SecretUrl) -> SecretUrl:
    return url.with_schemes("https", "http")


class WebhookConfig(BaseModel):
    """`{type: webhook, url: https://…, secret: {file: …}}`; the URL may be `{env: …}` too.

    The secret is `whsec_` and base64, else its bytes as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["webhook"] = "webhook"
    url: Annotated[SecretUrl, AfterValidator(_web)]
    secret: Secret | None = None
    timeout: Duration = timedelta(seconds=10)
    allow_private_cidrs: tuple[Network, ...] = ()


class WebhookChannel:
    """Posts a notification's body; `webhook-id` is the notification's, the same over every retry."""

    Config: ClassVar[type[WebhookConfig]] = WebhookConfig
    type: ClassVar[str] = "webhook"
    min_interval: ClassVar[timedelta] = timedelta()

    def __init__(self, name: str, config: WebhookConfig, outside: Outside | None = None) -> None:
        self.name = name
        self._config = config
        self._outside = outside or Outside()

    def send(self, notification: Notification) -> str:
        content = json_bytes(notification.body)
        timestamp = to_ms(self._outside.clock.now()) // 1000
        headers = {"webhook-id": notification.id, "webhook-timestamp": str(timestamp)}
        try:
            url = self._config.url.reveal()
            if self._config.secret is not None:
                key = signing_key(self._config.secret.reveal())
                headers["webhook-signature"] = signature(key, notification.id, timestamp, content)
        except ConfigError as exc:
            raise TemporaryFailure(str(exc)) from exc  # an operator is rotating it, perhaps
        answer = post(
            url,
            content,
            headers=headers,
            outside=self._outside,
            allowed=self._config.allow_private_cidrs,
            timeout=self._config.timeout,
        )
        if (failed := failure(answer, self._outside.clock.now())) is not None:
            raise failed
        return str(answer.status)


def signing_key(secret: str) -> bytes:
    """The key of a secret: what `whsec_` base64 stands for, else its UTF-8 bytes.

    Raises:
        ConfigError: it begins with whsec_ and is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError("the webhook's secret begins with whsec_, but the rest is not base64") from None


def signature(key: bytes, id_: str, timestamp: int, content: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.content`."""
    signed = f"{id_}.{timestamp}.".encode() + content
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
