"""Who may post to which source: each source is a door with any number of tokens."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import structlog

from tocsin.errors import ConfigError
from tocsin.settings import Document, Listen, SourceSettings, placed

LEAST_TOKEN_BYTES = 32
# One answer, whatever was wrong.
UNAUTHORIZED = "unauthorized"
UNAUTHORIZED_HEADERS = {"WWW-Authenticate": "Bearer"}

log = structlog.get_logger(__name__)


def tokens_of(sources: Mapping[str, SourceSettings]) -> dict[str, list[bytes]]:
    """Each source's tokens, read now. A short one is warned of: it can be guessed.

    Raises:
        ConfigError: every token that cannot be read, a line each.
    """
    tokens: dict[str, list[bytes]] = {name: [] for name in sources}
    problems: list[str] = []
    for name, source in sources.items():
        for secret in source.tokens:
            try:
                tokens[name].append(secret.reveal().encode())
            except ConfigError as exc:
                problems.append(f"sources.{name}.tokens: {exc}")
    if problems:
        raise ConfigError("\n".join(problems))
    for name, values in tokens.items():
        if any(map(_is_short, values)):
            log.warning("receiver.short_secret", source=name, least_bytes=LEAST_TOKEN_BYTES)
    return tokens


def has_short_token(source: SourceSettings) -> bool:
    """Whether one of its tokens can be guessed; one that cannot be read is not."""
    for secret in source.tokens:
        try:
            if _is_short(secret.reveal().encode()):
                return True
        except ConfigError:
            continue
    return False


def _is_short(token: bytes) -> bool:
    return len(token) < LEAST_TOKEN_BYTES


def refuse_open_receiver(
    listen: Listen, sources: Mapping[str, SourceSettings], document: Document | None = None
) -> None:
    """A source without a token is for this machine alone. `document` is where `listen` is written.

    Raises:
        ConfigError: it could be reached from elsewhere.
    """
    opened = sorted(name for name, source in sources.items() if not source.tokens)
    if opened and not listen.loopback:
        told = (
            f"listen: {listen} can be reached from other machines, and anybody could post to "
            f"{', '.join(opened)}; give sources.{opened[0]} tokens: [{{env: NAME}}], or listen on 127.0.0.1"
        )
        raise ConfigError(placed(document, ("listen",), told) if document else told)


class Doors:
    """Compares what senders show, in constant time, on bytes, over digests (so lengths never tell)."""

    def __init__(self, tokens: Mapping[str, Sequence[bytes]]) -> None:
        if any(not token for values in tokens.values() for token in values):
            raise ConfigError("a source's token is empty")
        self._digests = {name: [_digest(token) for token in values] for name, values in tokens.items()}
        # What an unknown source is compared with, so that it takes as long as a known one.
        most = max((len(values) for values in self._digests.values()), default=0)
        self._decoys = [_digest(b"")] * max(most, 1)

    def __contains__(self, source: str) -> bool:
        return source in self._digests

    def admits(self, source: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these (lower-case) headers may post to the source.

        The whole value of the one Authorization header counts, verbatim. An open source takes what
        comes from this machine, but not what a web page makes a browser on it send.
        """
        digests = self._digests.get(source, self._decoys)
        shown = [value for name, value in headers if name == b"authorization"]
        presented = _digest(shown[0] if shown else b"")
        matches = [hmac.compare_digest(presented, digest) for digest in digests]  # all, never just the first
        if source not in self._digests:
            return False
        if not digests:
            return not any(name in (b"origin", b"sec-fetch-site") for name, _ in headers)
        return len(shown) == 1 and any(matches)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
