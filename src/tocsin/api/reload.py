"""POST /-/reload: read the rules anew, and answer what changed or what is wrong.

It asks for no token, so it is for this machine alone: not for what came through a proxy, and not for
what a web page makes a browser on this machine send.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tocsin.errors import StoreError
from tocsin.reload import Changes, Refused
from tocsin.telemetry import redact_text

ELSEWHERE = "a reload is asked for on the machine itself: `tocsin reload`, or SIGHUP"
RETRY_AFTER_S = 5
# What a browser says of a page's request, and what proxies say of those they pass on.
_NOT_OURS = ("origin", "sec-fetch-site", "forwarded", "via", "x-forwarded-for", "x-real-ip")

log = structlog.get_logger(__name__)


class Reloading:
    """The endpoint."""

    def __init__(self, reload: Callable[[], Changes | Refused]) -> None:
        self._reload = reload
        self._one = anyio.CapacityLimiter(2)  # one at work, one that waits for its answer; others queue

    async def __call__(self, request: Request) -> Response:
        """200 with what changed, 422 with every mistake (the old rules stay), 503 without the store."""
        if not _from_here(request):
            return JSONResponse({"status": "forbidden", "error": ELSEWHERE}, status_code=403)
        try:
            answer = await anyio.to_thread.run_sync(self._reload, limiter=self._one)
        except StoreError as exc:
            log.warning("reload.store_unavailable", error=redact_text(str(exc)))
            told = {"status": "failed", "error": redact_text(str(exc))}
            return JSONResponse(told, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})
        return JSONResponse(answer.as_record(), status_code=422 if isinstance(answer, Refused) else 200)


def _from_here(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _NOT_OURS):
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
