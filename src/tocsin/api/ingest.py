"""POST /v1/ingest/{source}: a body in, durable, then 204. Nothing is parsed here.

Accepted means durable: what is wrong inside a body is for the detect loop to decode and to
quarantine, so that a slow rule or a bad record never makes a sender wait or give up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import anyio
import anyio.to_thread
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from tocsin.api.doors import UNAUTHORIZED, UNAUTHORIZED_HEADERS, Doors
from tocsin.errors import StoreError
from tocsin.protocols import Clock, Inbox
from tocsin.telemetry import INGEST_REQUESTS, redact_text

MAX_BODY_BYTES = 5 * 1024 * 1024
BODY_TIMEOUT = timedelta(seconds=30)
RETRY_AFTER_S = 5
WRITERS = 8  # bodies on their way into the store at once; the others wait their turn

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The request is answered with this, and nothing was taken."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = PlainTextResponse(f"{text}\n", status_code=status, headers=headers)


class Ingest:
    """The receiver's endpoint."""

    def __init__(
        self,
        inbox: Inbox,
        tokens: Mapping[str, Sequence[bytes]],
        clock: Clock,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout: timedelta = BODY_TIMEOUT,
    ) -> None:
        self._inbox, self._clock = inbox, clock
        self._doors = Doors(tokens)
        self._max_body_bytes, self._body_timeout = max_body_bytes, body_timeout
        self._writers = anyio.CapacityLimiter(WRITERS)

    async def __call__(self, request: Request) -> Response:
        """204 once the body is durable; else why not. 401 is the same whatever was wrong."""
        source = request.path_params["source"]
        try:
            response = await self._take(request, source)
        except Refused as refusal:
            response = refusal.response
        # A stranger's names must not become time series.
        INGEST_REQUESTS.labels(
            source=source if source in self._doors else "unknown", status=str(response.status_code)
        ).inc()
        return response

    async def _take(self, request: Request, source: str) -> Response:
        if not self._doors.admits(source, request.scope["headers"]):
            raise Refused(401, UNAUTHORIZED, UNAUTHORIZED_HEADERS)
        if any(value.lower() != "identity" for value in request.headers.getlist("content-encoding")):
            raise Refused(415, "send the body without Content-Encoding", {"Accept-Encoding": "identity"})
        body = await self._read(request)
        if not body or body.isspace():
            raise Refused(400, "the body is empty")
        await self._keep(source, body)
        return Response(status_code=204)

    async def _read(self, request: Request) -> bytes:
        """The body; refused as soon as it is too long, before any more of it is read."""
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            with anyio.fail_after(self._body_timeout.total_seconds()):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
        except TimeoutError:
            raise Refused(408, "the body came too slowly", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refused(400, "the sender hung up") from None
        return b"".join(chunks)

    def _too_large(self) -> Refused:
        return Refused(413, f"a body may have {self._max_body_bytes} bytes; send smaller batches")

    async def _keep(self, source: str, body: bytes) -> None:
        try:
            await anyio.to_thread.run_sync(
                self._inbox.append, source, body, self._clock.now(), limiter=self._writers
            )
        except StoreError as exc:
            log.warning("receiver.store_unavailable", source=source, error=redact_text(str(exc)))
            raise Refused(503, "cannot be kept now; try again", {"Retry-After": str(RETRY_AFTER_S)}) from exc
