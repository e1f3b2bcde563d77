"""One POST to somebody else's server, on guard: for the HTTP channels.

No redirects, no cookies, nothing from the environment; connections only to checked addresses; an
answer is read up to 64 KiB and never repeated in an error, nor is a URL (a Slack URL is a secret).
`timeout` bounds the whole exchange, so that a server that drips byte by byte holds nobody up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ssl import SSLCertVerificationError

import httpcore2
import httpx2

from tocsin import __version__
from tocsin.delivery.addresses import Network, checked_addresses, literal
from tocsin.delivery.outside import Outside
from tocsin.delivery.wire import CheckedTransport
from tocsin.errors import ConfigError, PermanentFailure, TemporaryFailure

MAX_ANSWER_BYTES = 64 * 1024
MAX_PORT = 65_535
NO_PLACE = "192.0.2.1"  # of a name that nobody asked for: an address that is in no allowed network
LONGEST_RETRY_AFTER = timedelta(hours=1)
_TEMPORARY = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `host` for messages, `body` cut at 64 KiB."""

    host: str
    status: int
    retry_after: str
    body: bytes

    @property
    def ok(self) -> bool:
        return HTTPStatus(200) <= self.status < HTTPStatus(300)


def json_bytes(body: object) -> bytes:
    """Compact JSON, in ASCII: half a surrogate pair in an attacker's text is escaped, not an error."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def post(
    url: str,
    content: bytes,
    *,
    headers: Mapping[str, str],
    outside: Outside,
    allowed: Sequence[Network],
    timeout: timedelta,
) -> Answer:
    """POST it; any answer at all.

    Raises:
        TemporaryFailure: nobody there, no (whole) answer in time, no trusted certificate.
        PermanentFailure: the URL is none, or leads where it must not.
    """
    target = _parsed(url)
    deadline = time.monotonic() + timeout.total_seconds()
    with (
        _explained(target.host),
        CheckedTransport(target, outside, allowed, deadline) as transport,
        httpx2.Client(transport=transport, trust_env=False, timeout=timeout.total_seconds()) as client,
        client.stream(
            "POST",
            target,
            content=content,
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"tocsin/{__version__}",
                "Accept-Encoding": "identity",
                **headers,
            },
        ) as response,
    ):
        retry_after = response.headers.get("retry-after", "")
        return Answer(target.host, response.status_code, retry_after, _read(response))


def refused(url: str, allowed: Sequence[Network]) -> str:
    """Why nothing can ever be posted there, as far as the URL says it; empty where no reason shows."""
    try:
        target = _parsed(url)
        address = literal(target.host)
        plain = target.scheme == "http"
        if address is not None or (plain and not allowed):
            found = [address or NO_PLACE]
            checked_addresses(target.host, 0, allowed=allowed, resolve=lambda *_: found, plain=plain)
    except PermanentFailure as exc:
        return str(exc)
    return ""


def failure(answer: Answer, now: datetime, *, word: str = "") -> TemporaryFailure | PermanentFailure | None:
    """What an answer means; None when it was taken. `word` is what the other side called the error."""
    if answer.ok:
        return None
    text = f"{answer.host}: answered {answer.status}" + (f" {word}" if word else "")
    if answer.status in _TEMPORARY or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TemporaryFailure(text, retry_after=parse_retry_after(answer.retry_after, now))
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return PermanentFailure(f"{text}: a redirect, which is not followed; set the final URL")
    return PermanentFailure(text)


def parse_retry_after(text: str, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date, as a wait between nothing and an hour; None when it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def _parsed(url: str) -> httpx2.URL:
    try:
        target = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, ValueError, TypeError):
        # Not `from`: the cause repeats the URL.
        raise PermanentFailure("the channel's URL is not a URL") from None
    if target.scheme not in ("https", "http") or not target.host:
        raise PermanentFailure("the channel's URL must begin with https://, and name a host")
    if target.port is not None and target.port > MAX_PORT:
        raise PermanentFailure("the channel's URL has no possible port")
    return target


def _read(response: httpx2.Response) -> bytes:
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return body[:MAX_ANSWER_BYTES]


@contextmanager
def _explained(host: str) -> Iterator[None]:
    """Turn what can go wrong on the wire into failures that name the host and nothing secret."""
    try:
        yield
    except ConfigError as exc:
        raise TemporaryFailure(str(exc)) from exc  # an operator can put the proxy's secret right
    except (httpcore2.TimeoutException, httpx2.TimeoutException) as exc:
        raise TemporaryFailure(f"{host}: no answer in time") from exc
    except httpcore2.ProxyError:
        raise TemporaryFailure(f"{host}: the proxy refused the connection") from None
    except httpcore2.ConnectError as exc:
        raise TemporaryFailure(f"{host}: {_why_not_connected(exc)}") from exc
    except (httpcore2.NetworkError, httpx2.NetworkError) as exc:
        raise TemporaryFailure(f"{host}: the connection broke; whether it was taken is not known") from exc
    except (httpcore2.ProtocolError, httpx2.TransportError, httpx2.StreamError):
        # Not `from`: the cause may repeat what the server wrote.
        raise TemporaryFailure(f"{host}: the answer was not whole, or not HTTP") from None


def _why_not_connected(exc: BaseException) -> str:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, SSLCertVerificationError):
            why = cause.verify_message
            return f"its certificate is not trusted ({why}); a private authority goes in ca_file"
        cause = cause.__cause__ or cause.__context__
    return f"cannot connect ({exc})"
