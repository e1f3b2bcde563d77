"""Runs the web application in a thread, and bounds what a slow or silent sender can hold.

Why a protocol of our own: uvicorn arms its only timer after the first answer, and any byte disarms
it, so a thousand sockets that trickle header bytes would live for ever. Here every connection always
has a deadline that bytes do not move, and at the limit the one that has waited longest for a request
makes room.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tocsin.api.doors import UNAUTHORIZED, UNAUTHORIZED_HEADERS
from tocsin.errors import ConfigError
from tocsin.settings import Listen

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """`header_timeout`: from the connection, or the last answer, to the end of a request's headers.

    `request_timeout`: from there to the end of the answer; longer than the application's own.
    """

    connections: int = 256
    header_timeout: timedelta = timedelta(seconds=10)
    request_timeout: timedelta = timedelta(seconds=90)
    header_bytes: int = 32 * 1024
    backlog: int = 128


class HttpServer:
    """The application on an address: `start`, then `stop`. Both are for one caller, once."""

    def __init__(self, app: ASGIApp, listen: Listen, limits: Limits | None = None) -> None:
        self._listen, self._limits = listen, limits or Limits()
        self._server = uvicorn.Server(_Config(app, self._limits))
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Listen:
        """Listen, and serve in a thread of our own; the address, with the port that was chosen for 0.

        Raises:
            ConfigError: the address cannot be had.
        """
        self._socket = _listening(self._listen, self._limits.backlog)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )
        self._thread.start()
        bound = Listen(self._listen.host, int(self._socket.getsockname()[1]))
        log.info("receiver.listening", address=str(bound))
        return bound

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Take no more connections; requests in work have `grace` to end, then they are cut off."""
        if self._thread is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace.total_seconds()))
        self._server.should_exit = True
        self._thread.join(grace.total_seconds() + 2)  # uvicorn looks every 0.1 s, twice
        if self._socket is not None:
            self._socket.close()


class _Config(uvicorn.Config):
    """uvicorn's settings, with our limits beside them for the protocol to find."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.limits = limits
        super().__init__(
            app,
            loop="asyncio",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=limits.connections + 1,
            timeout_keep_alive=max(1, round(limits.header_timeout.total_seconds())),
            h11_max_incomplete_event_size=limits.header_bytes,
        )


class BoundedProtocol(H11Protocol):
    """A connection that always has a deadline, and one generic answer to headers that never end."""

    config: _Config
    deadline: asyncio.TimerHandle | None = None
    refused = False

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.config.limits.connections:
            self._make_room()
        self._give(self.config.limits.header_timeout)

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its request; this one when all are busy."""
        waiting = [
            c for c in self.connections if isinstance(c, BoundedProtocol) and c.deadline and not c.busy
        ]
        oldest = min(waiting, key=lambda c: c.deadline.when() if c.deadline else 0.0, default=self)
        oldest.connections.discard(oldest)
        oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.refused:  # read on and throw away, so that the sender gets to see the answer
            return
        was_busy = self.busy
        super().data_received(data)
        if self.busy and not was_busy:
            self._give(self.config.limits.request_timeout)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        waits = not self.busy
        self._give(self.config.limits.header_timeout if waits else self.config.limits.request_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Not HTTP: 400. Headers beyond all measure: what every stranger is told."""
        endless = len(self.conn.trailing_data[0]) > self.config.limits.header_bytes
        if not endless or self.conn.our_state is not h11.IDLE:
            super().send_400_response(msg)
            return
        body = f"{UNAUTHORIZED}\n".encode()
        headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))]
        headers += [*UNAUTHORIZED_HEADERS.items(), ("connection", "close")]
        start = h11.Response(status_code=401, headers=headers, reason=b"Unauthorized")
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.refused = True

    def _give(self, time: timedelta) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        self.deadline = self.loop.call_later(time.total_seconds(), self.transport.abort)


def _listening(listen: Listen, backlog: int) -> socket.socket:
    """A listening socket; made here so that a taken port is the caller's error, not a thread's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ConfigError(f"listen: {listen} is no address of this machine: {exc.strerror}") from exc
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except OSError as exc:
        made.close()
        why = (exc.strerror or str(exc)).lower()
        way_out = f"choose another, like TOCSIN_LISTEN={_beside(listen)}"
        raise ConfigError(f"listen: cannot listen on {listen}: {why}; {way_out}") from exc
    return made


def _beside(listen: Listen) -> Listen:
    """The port after it, or one that needs no privileges."""
    return listen._replace(port=max(listen.port + 1, 8081) if listen.port < 65_535 else 8081)  # noqa: PLR2004
