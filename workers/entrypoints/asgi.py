"""The worker's web app: Twilio's webhooks, the media socket, and what an operator's tools ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from telephony.settings import MEDIA_PATH
from workers.call.active import ActiveCalls
from workers.entrypoints.media import MediaEndpoint
from workers.entrypoints.services import Services
from workers.entrypoints.webhooks import Webhooks
from workers.metrics import CONTENT_TYPE, Metrics
from workers.store.calls import CallStore

Gather = Callable[[bytes], Awaitable[bytes]]
"""Takes one process's exposition, and returns that of all which share its address."""


def create_app(services: Services, *, gather: Gather | None = None) -> ASGIApp:
    """The web app over one worker's parts.

    The media socket goes past Starlette, whose middleware would wrap every message sent.
    """
    media = MediaEndpoint(services)
    # A redirect would lose the body and the signature's address.
    web = Starlette(routes=[*Webhooks(services).routes(), *_operator_routes(services, gather)])
    web.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"].rstrip("/") == MEDIA_PATH:
            await media(scope, receive, send)
        else:
            await web(scope, receive, send)

    return app


def exposition(active: ActiveCalls, metrics: Metrics, store: CallStore) -> bytes:
    """What ``/metrics`` answers about this process."""
    active.sweep()
    metrics.open_calls.set(active.open_calls)
    metrics.live_streams.set(active.live_streams)
    metrics.store_lost.set(store.lost)
    metrics.store_waiting.set(store.waiting)
    return metrics.render()


def _operator_routes(services: Services, gather: Gather | None) -> list[Route]:
    active, metrics, store = services.active, services.metrics, services.store

    async def healthz(_request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        """New calls are wanted. A store that is away is no reason against it: calls go on."""
        ready = not active.draining
        return JSONResponse(
            {
                "ready": ready,
                "open_calls": active.open_calls,
                "live_streams": active.live_streams,
                "store_lost_writes": store.lost,
            },
            status_code=200 if ready else 503,
        )

    async def expose(_request: Request) -> Response:
        text = exposition(active, metrics, store)
        if gather is not None:
            text = await gather(text)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", expose),
    ]
