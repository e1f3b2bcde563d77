"""The way to the server: one client, key names, scripts, and errors in our own words.

Every key is `PREFIX:{p0}:part:part…`. The braces are the hash tag of a partition: today there is
one, so that a script may touch all keys it is given, on one server as on a cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import resources
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.retry import Retry

from tocsin.errors import ConfigError, StoreUnavailable, StoreUnfit

SCHEMA_VERSION = 1
SCHEMES = ("redis", "rediss", "unix")
_TIMEOUT_S = 5.0
# First words of a server's refusals that pass by themselves, or by an operator's hand on the server.
_NOT_NOW = (
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)


class Script(Protocol):
    """A Lua script of ours, called by its digest."""

    def __call__(
        self, keys: Sequence[bytes], args: Sequence[Any], /, meanwhile: Callable[[], None] | None = None
    ) -> Any:
        """Run it; its reply. `meanwhile` is called once while the server works."""


class Store:
    """A server and our corner of it. Safe to share between threads."""

    def __init__(self, client: redis.Redis, url: str, *, prefix: str) -> None:
        self.client = client
        self.shown = redact(url)
        self.prefix = prefix
        self._stem = f"{prefix}:{{p0}}".encode()
        self._sources: dict[str, tuple[str, str]] = {}

    def key(self, *parts: str | bytes) -> bytes:
        """`PREFIX:{p0}:a:b` of the parts `a`, `b`. Parts written by strangers must be hashed first."""
        return b":".join((self._stem, *(p.encode() if isinstance(p, str) else p for p in parts)))

    def pattern(self, *parts: str | bytes) -> bytes:
        """For SCAN: our stem taken literally, then `parts`, in which `*` is a wildcard."""
        stem = b"".join(b"\\" + c if c in b"*?[]^\\" else c for c in _letters(self._stem))
        return b":".join((stem, *(p.encode() if isinstance(p, str) else p for p in parts)))

    def script(self, name: str) -> Script:
        """The script of `lua/NAME.lua`; loaded where the server does not know it yet.

        Raises (when called):
            StoreUnavailable: the server is gone, or takes no writes now.
        """
        text, digest = self._source(name)

        def call(
            keys: Sequence[bytes], args: Sequence[Any], meanwhile: Callable[[], None] | None = None
        ) -> Any:
            command = ("EVALSHA", digest, len(keys), *keys, *args)
            with self.reaching():
                try:
                    return self._run(command, meanwhile)
                except NoScriptError:
                    # Not EVAL: its text would travel again with every call of a cold server.
                    self.client.script_load(text)
                    return self._run(command, None)

        return call

    def _run(self, command: Sequence[Any], meanwhile: Callable[[], None] | None) -> Any:
        if meanwhile is None:
            return cast("Any", self.client).execute_command(*command)
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*command)
            meanwhile()
            return connection.read_response()
        except ResponseError:
            raise  # the answer was read: the connection is as good as before
        except BaseException:
            connection.disconnect()  # or the next command would read this one's answer
            raise
        finally:
            pool.release(connection)

    def pipeline(self, *, transaction: bool = False) -> Pipeline:
        """Commands to be sent together; run it inside `reaching()`."""
        return self.client.pipeline(transaction=transaction)

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Turn the client's errors into ours; wrap every call of `client` and of a pipeline in it.

        Raises:
            StoreUnavailable: the server is gone, or takes no writes now.
        """
        try:
            yield
        except AuthenticationError as exc:
            raise StoreUnavailable(f"{self.shown}: refuses our credentials ({exc}); check the URL") from exc
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            raise StoreUnavailable(f"{self.shown}: cannot be reached ({exc}); is the server up?") from exc
        except (OutOfMemoryError, ReadOnlyError) as exc:
            raise StoreUnavailable(f"{self.shown}: takes no writes now ({_said(exc)})") from exc
        except ResponseError as exc:
            if _said(exc).startswith(_NOT_NOW):
                raise StoreUnavailable(f"{self.shown}: not now ({_said(exc)})") from exc
            raise

    def check_durable(self, *, unsafe: bool = False) -> None:
        """Refuse a server that forgets: one that evicts keys, or keeps nothing over a restart.

        Raises:
            StoreUnfit: with the setting to change; never when `unsafe`.
        """
        if unsafe:
            return
        with self.reaching():
            memory, persistence = self.client.info("memory"), self.client.info("persistence")
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction" and int(memory.get("maxmemory", 0)):
            raise StoreUnfit(
                f"{self.shown}: drops keys when memory is short (maxmemory-policy {policy}), "
                "and alerts with them; set `maxmemory-policy noeviction`, or start with --unsafe"
            )
        if not int(persistence.get("aof_enabled", 0)):
            raise StoreUnfit(
                f"{self.shown}: forgets everything at a restart (appendonly no); "
                "set `appendonly yes`, or start with --unsafe"
            )

    def filled(self) -> tuple[int, int]:
        """How many bytes it holds, and may hold (0: as many as there are)."""
        with self.reaching():
            memory: Any = self.client.info("memory")
        return int(memory["used_memory"]), int(memory.get("maxmemory", 0))

    def erase(self) -> None:
        """Delete every key under our prefix: the end of a replay that was lent a server."""
        with self.reaching():
            for keys in _chunks(self.client.scan_iter(match=self.pattern("*"), count=1_000), 500):
                self.client.unlink(*keys)

    def expire(self, after: timedelta) -> None:
        """Let what a new store holds go after a while: for a prefix that nobody comes back to."""
        with self.reaching():
            self.client.pexpire(self.key("schema"), after)

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()

    def _source(self, name: str) -> tuple[str, str]:
        if name not in self._sources:
            text = _read_script(name)
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            self._sources[name] = (text, digest)
        return self._sources[name]


def _said(exc: ResponseError) -> str:
    """What the server said; of a pipeline the client puts the command before it, strangers' texts and all."""
    return str(exc).rpartition(" of pipeline caused error: ")[2]


def _read_script(name: str) -> str:
    """The script with what its first line says it uses (`-- uses packed`) before it."""
    text = resources.files("tocsin.state").joinpath("lua", f"{name}.lua").read_text("utf-8")
    first = text.partition("\n")[0]
    used = first.removeprefix("-- uses ").split() if first.startswith("-- uses ") else []
    return "\n".join([*(_read_script(other) for other in used), text])


def open_store(url: str, *, prefix: str = "tocsin", timeout_s: float = _TIMEOUT_S) -> Store:
    """Connect to `redis://`, `rediss://` or `unix://`, and check that we understand what is there.

    Nothing is tried twice in here: a command whose answer was lost may have been done, and only
    the loop that sent it knows whether doing it again is safe.

    Raises:
        ConfigError: the URL is none of these.
        StoreUnavailable: nobody answers there.
        StoreUnfit: a newer tocsin wrote there.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise ConfigError(
            f"{redact(url)}: not a store; write redis://HOST:PORT/0, rediss://… or unix:///PATH"
        )
    client = redis.Redis.from_url(
        url,
        decode_responses=False,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    store = Store(client, url, prefix=prefix)
    try:
        _check_schema(store)
    except BaseException:
        store.close()
        raise
    return store


def _check_schema(store: Store) -> None:
    with store.reaching():
        store.client.set(store.key("schema"), SCHEMA_VERSION, nx=True)
        found = store.client.get(store.key("schema"))
    if int(found or SCHEMA_VERSION) > SCHEMA_VERSION:
        raise StoreUnfit(
            f"{store.shown}: written by a newer tocsin (schema {int(found or 0)}, this program knows "
            f"{SCHEMA_VERSION}); run that version, or another server or prefix"
        )


def redact(url: str) -> str:
    """The URL without user, password and query: what may stand in a message."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _letters(text: bytes) -> Iterator[bytes]:
    return (text[i : i + 1] for i in range(len(text)))


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
