"""E-mail over SMTP: text first, HTML beside it, to recipients that only the config names.

A recipient who is refused for now gets the message later, the others are not told twice; a
recipient who is refused for good is logged, and makes a dead letter only when nobody took it.
"""

from __future__ import annotations

import hashlib
import re
import smtplib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Annotated, ClassVar, Literal, Self

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tocsin.delivery.outside import Outside, tls_context
from tocsin.errors import ConfigError, DeliveryError, PermanentFailure, TemporaryFailure
from tocsin.model.notification import Notification
from tocsin.settings import Duration, LocalPath, Secret

log = structlog.get_logger()

_PERMANENT = 500
_MAX_SUBJECT = 250
_KEPT_PARTS = 1_000  # messages of which some recipients still wait
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_BODY_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<spec>[^<>]+)>|(?P<bare>[^<>\s]+)")

# Quoted-printable or base64 where needed, so that no server has to know 8BITMIME.
_POLICY = SMTP.clone(cte_type="7bit")


def _mailbox(text: str) -> Address:
    """`alerts@example.com` or `Tocsin <alerts@example.com>`."""
    found = _MAILBOX.fullmatch(text.strip())
    if found is None or not text.isascii() or _CONTROL.search(text):
        raise ValueError(
            f"{text!r} is not an e-mail address; write alerts@example.com or Name <alerts@example.com>"
        )
    try:
        address = Address((found["name"] or "").strip(' "'), addr_spec=found["spec"] or found["bare"])
    except (ValueError, HeaderParseError, IndexError) as exc:
        raise ValueError(f"{text!r} is not an e-mail address: {exc}") from exc
    if not address.domain:
        raise ValueError(f"{text!r} has no domain; write somebody@example.com")
    return address


def _check_mailbox(text: str) -> str:
    _mailbox(text)
    return text


Mailbox = Annotated[str, AfterValidator(_check_mailbox)]


class EmailConfig(BaseModel):
    """`{type: email, host: …, port: 587, username: …, password: {file: …}, sender: …, to: […]}`.

    `tls`: `starttls` (587), `tls` from the first byte (465), or `none`, for a relay on this host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["email"] = "email"
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: LocalPath | None = None
    username: str | None = None
    password: Secret | None = None
    sender: Mailbox
    to: tuple[Mailbox, ...] = Field(min_length=1)
    timeout: Duration = timedelta(seconds=10)

    @model_validator(mode="after")
    def _login_is_whole_and_private(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password is not sent without encryption; set tls: starttls or tls: tls")
        return self


@dataclass(slots=True)
class _Part:
    """Who of a message's recipients is done with: took it, or never will."""

    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class EmailChannel:
    """Sends `body.subject`, `body.text` and `body.html` as one multipart message."""

    Config: ClassVar[type[EmailConfig]] = EmailConfig
    type: ClassVar[str] = "email"
    min_interval: ClassVar[timedelta] = timedelta()

    def __init__(self, name: str, config: EmailConfig, outside: Outside | None = None) -> None:
        self.name = name
        self._config = config
        self._outside = outside or Outside()
        self._parts: OrderedDict[str, _Part] = OrderedDict()
        self._to = [_mailbox(text).addr_spec for text in config.to]

    def send(self, notification: Notification) -> str:
        message = compose(notification, self._config)
        part = self._parts.setdefault(notification.id, _Part())
        while len(self._parts) > _KEPT_PARTS:
            self._parts.popitem(last=False)
        waiting = [address for address in self._to if address not in (*part.taken, *part.refused)]
        with _explained(self._config.host):
            refused = self._submit(message.as_bytes(), waiting)
        return self._judge(notification, part, waiting, refused)

    def _submit(self, message: bytes, to: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        """Hand it in; the recipients that were refused, with the server's code and words."""
        config = self._config
        sender = _mailbox(config.sender)
        context = tls_context(config.ca_file or self._outside.ca_file)
        timeout = config.timeout.total_seconds()
        # The name we greet with: getfqdn, the default, can hang for seconds where no DNS answers.
        if config.tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, sender.domain, timeout=timeout, context=context
            )
        else:
            smtp = smtplib.SMTP(config.host, config.port, sender.domain, timeout=timeout)
        with closing(smtp):
            if config.tls == "starttls":
                smtp.starttls(context=context)
            if config.username is not None and config.password is not None:
                smtp.login(config.username, config.password.reveal())
            try:
                refused = smtp.sendmail(sender.addr_spec, to, message)
            except smtplib.SMTPRecipientsRefused as exc:
                refused = exc.recipients
            # It was taken, whatever becomes of the goodbye (smtplib's own `with` would raise).
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
        return refused

    def _judge(
        self,
        notification: Notification,
        part: _Part,
        waiting: Sequence[str],
        refused: Mapping[str, tuple[int, bytes]],
    ) -> str:
        part.taken += [address for address in waiting if address not in refused]
        for address, (code, _) in refused.items():
            if code >= _PERMANENT:
                part.refused.append(address)
                log.warning("email.recipient_refused", channel=self.name, recipient=address, code=code,
                            notification=notification.id)  # fmt: skip
        if later := {address: code for address, (code, _) in refused.items() if code < _PERMANENT}:
            raise TemporaryFailure(f"{self._config.host}: refused for now: {_list(later)}")
        del self._parts[notification.id]
        if not part.taken:
            codes = {address: code for address, (code, _) in refused.items()}
            raise PermanentFailure(f"{self._config.host}: refused every recipient: {_list(codes)}")
        taken = f"{len(part.taken)} of {len(self._to)} recipients took it"
        return taken + (f"; refused: {', '.join(part.refused)}" if part.refused else "")


def compose(notification: Notification, config: EmailConfig) -> EmailMessage:
    """The message. Every retry is the same one: same Message-ID, same Date."""
    sender = _mailbox(config.sender)
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = [_mailbox(text) for text in config.to]
    message["Subject"] = _one_line(str(notification.body.get("subject") or notification.summary))[
        :_MAX_SUBJECT
    ]
    message["Date"] = notification.created_at
    id_ = notification.id if _PLAIN_ID.fullmatch(notification.id) else _digest(notification.id)
    message["Message-ID"] = f"<{id_}@{sender.domain}>"
    # Mail programs show what refers to the same id as one conversation: a group's messages.
    message["References"] = f"<{_digest(notification.group_key)}.group@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Tocsin-Severity"] = _one_line(notification.severity)
    message["X-Tocsin-Status"] = _one_line(notification.status)
    message.set_content(_text(notification.body.get("text") or notification.summary))
    if html := notification.body.get("html"):
        message.add_alternative(_text(html), subtype="html")
    return message


def _one_line(text: str) -> str:
    """Nothing in it can begin another header, or reorder this one."""
    # An encoded word would be decoded on its way in, line ends and all.
    return _CONTROL.sub(" ", text).replace("=?", "= ?").strip()


def _text(text: object) -> str:
    return _BODY_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)).replace("\r\n", "\n").replace("\r", "\n")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _list(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{address} ({code})" for address, code in codes.items())


@contextmanager
def _explained(host: str) -> Iterator[None]:
    """Turn what SMTP can throw into failures; a server's words are left out, they may repeat ours."""
    try:
        yield
    except ConfigError as exc:
        raise TemporaryFailure(str(exc)) from exc  # an operator is rotating the password, perhaps
    except smtplib.SMTPResponseException as exc:
        raise _by_code(host, exc) from None
    except smtplib.SMTPNotSupportedError as exc:
        raise PermanentFailure(f"{host}: the server does not offer what the config asks for: {exc}") from exc
    except (smtplib.SMTPException, OSError, EOFError) as exc:
        raise TemporaryFailure(f"{host}: {_lost(exc)}") from exc


def _by_code(host: str, exc: smtplib.SMTPResponseException) -> DeliveryError:
    step = {
        smtplib.SMTPAuthenticationError: "logging in",
        smtplib.SMTPSenderRefused: "the sender",
        smtplib.SMTPDataError: "the message",
        smtplib.SMTPConnectError: "the connection",
        smtplib.SMTPHeloError: "our greeting",
    }.get(type(exc), "a command")
    text = f"{host}: refused {step} with {exc.smtp_code}"
    return PermanentFailure(text) if exc.smtp_code >= _PERMANENT else TemporaryFailure(text)


def _lost(exc: Exception) -> str:
    if isinstance(exc, TimeoutError) or isinstance(exc.__context__, TimeoutError):
        return "no answer in time"
    return f"the connection failed ({type(exc).__name__}: {exc})"
