"""The web application: the receiver, health, metrics, reload. Nothing else answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tocsin.api.ingest import Ingest
from tocsin.api.reload import Reloading
from tocsin.protocols import Clock, Inbox
from tocsin.reload import Changes, Refused


def make_app(
    *,
    inbox: Inbox,
    tokens: Mapping[str, Sequence[bytes]],
    clock: Clock,
    readiness: Callable[[], str | None],
    registry: CollectorRegistry,
    reload: Callable[[], Changes | Refused],
    note: Callable[[], str | None] = lambda: None,
) -> Starlette:
    """The application.

    `tokens` holds every source there is; one without any token is open. `readiness` says why we
    are not ready (None: we are); it may wait for the store, and is called in a thread. `note` is what
    an operator should know though we are.
    """
    ingest, reloading = Ingest(inbox, tokens, clock), Reloading(reload)

    async def take(request: Request) -> Response:
        return await ingest(request)

    async def read_anew(request: Request) -> Response:
        return await reloading(request)

    async def healthy(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return PlainTextResponse("healthy\n")

    def ready(request: Request) -> Response:  # noqa: ARG001
        reason, more = readiness(), note()
        text = f"{reason or 'ready'}\n" + (f"{more}\n" if more else "")
        return PlainTextResponse(text, status_code=503 if reason else 200)

    def metrics(request: Request) -> Response:  # noqa: ARG001
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = Starlette(
        routes=[
            Route("/v1/ingest/{source}", take, methods=["POST"]),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", read_anew, methods=["POST"]),
            Route("/metrics", metrics),
        ],
        exception_handlers={Exception: _failed},
    )
    app.router.redirect_slashes = False  # a redirect would repeat the sender's Host header
    return app


def _failed(request: Request, exc: Exception) -> Response:
    """A bug of ours. uvicorn logs it and hangs up, so the sender is told not to reuse the connection."""
    del request, exc
    return PlainTextResponse("internal error\n", status_code=500, headers={"Connection": "close"})
