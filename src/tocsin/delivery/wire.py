"""The connection under `http.post`: only to checked addresses, and never longer than its deadline."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpcore2
import httpx2

from tocsin.delivery.addresses import Network, checked_addresses, literal
from tocsin.delivery.outside import Outside, tls_context
from tocsin.errors import ConfigError, PermanentFailure


class CheckedTransport(httpx2.BaseTransport):
    """httpx2 on a connection pool of ours, because its own transport takes no network backend.

    For one request to `target`; `deadline` is a moment of the monotonic clock.

    Raises:
        PermanentFailure: the target is refused; some are only found out by the request.
    """

    def __init__(
        self, target: httpx2.URL, outside: Outside, allowed: Sequence[Network], deadline: float
    ) -> None:
        plain = target.scheme == "http"
        context = tls_context(outside.ca_file)
        if outside.proxy is None:
            backend = _CheckedBackend(outside, allowed, plain=plain, deadline=deadline)
            self._pool = httpcore2.ConnectionPool(ssl_context=context, network_backend=backend)
        else:
            _check_behind_proxy(target, allowed, plain=plain)
            self._pool = _proxy_pool(outside.proxy.reveal(), context, _BoundedBackend(deadline))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        assert isinstance(request.stream, httpx2.SyncByteStream)  # noqa: S101 - the client is the sync one
        response = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


def _check_behind_proxy(target: httpx2.URL, allowed: Sequence[Network], *, plain: bool) -> None:
    """Only a written address can be judged here: the proxy resolves names, and guards what they are."""
    address = literal(target.host)
    if address is not None:
        checked_addresses(address, 0, allowed=allowed, resolve=lambda host, _: [host], plain=plain)
    elif plain or target.host.rstrip(".").rpartition(".")[2].lower() == "localhost":
        raise PermanentFailure(f"{target.host}: behind a proxy only https:// to public names is allowed")


def _proxy_pool(
    proxy: str, context: ssl.SSLContext, backend: httpcore2.NetworkBackend
) -> httpcore2.HTTPProxy:
    try:
        url = httpx2.Proxy(proxy)
    except (httpx2.InvalidURL, ValueError):
        # Not `from`: the cause repeats the URL, which may hold a password.
        raise ConfigError("proxy: this is not an http:// or https:// URL") from None
    return httpcore2.HTTPProxy(
        proxy_url=str(url.url), proxy_auth=url.raw_auth, ssl_context=context, network_backend=backend
    )


class _BoundedBackend(httpcore2.NetworkBackend):
    """Connects as told; nothing on the connection waits beyond the deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        wait = _bounded(timeout, self.deadline, httpcore2.ConnectTimeout)
        stream = self._system.connect_tcp(host, port, wait, local_address, socket_options)
        return _BoundedStream(stream, self.deadline)


class _CheckedBackend(_BoundedBackend):
    """Connects only to checked addresses; the TLS name and the Host header stay the URL's."""

    def __init__(self, outside: Outside, allowed: Sequence[Network], *, plain: bool, deadline: float) -> None:
        super().__init__(deadline)
        self._outside, self._allowed, self._unencrypted = outside, allowed, plain

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = checked_addresses(
            host, port, allowed=self._allowed, resolve=self._outside.resolve, plain=self._unencrypted
        )
        # Each gets its share of the time, so that a dead first address leaves some for the second.
        share = _bounded(timeout, self.deadline, httpcore2.ConnectTimeout) / len(addresses)
        for address in addresses[:-1]:
            try:
                return super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class _BoundedStream(httpcore2.NetworkStream):
    """A stream whose every wait ends at the deadline at the latest."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _bounded(timeout, self._deadline, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _bounded(timeout, self._deadline, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        wait = _bounded(timeout, self._deadline, httpcore2.ConnectTimeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, wait), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _bounded(timeout: float | None, deadline: float, late: type[httpcore2.TimeoutException]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the deadline has passed")
    return left if timeout is None else min(timeout, left)
