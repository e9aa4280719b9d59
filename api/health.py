"""For probes and Prometheus: is the process there, does it do its work, what does it count. No token is needed."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.answers import Health
from api.context import CONTEXT
from api.metrics import METRICS
from api.responses import answered
from api.routes import Answer, Route


async def healthz(request: web.Request) -> web.Response:
    """The process answers: restarting it would not help."""
    del request
    return answered({"status": "ok", "reasons": []})


async def readyz(request: web.Request) -> web.Response:
    """200 while the daemon does its work, else 503 with the reasons."""
    context = request.app[CONTEXT]
    reasons = context.engine.progress().reasons_not_ready(context.clock())
    document = {"status": "not ready" if reasons else "ok", "reasons": list(reasons)}
    return answered(document, status=503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    """The daemon's and the API's metrics, as text for Prometheus."""
    engine = request.app[CONTEXT].engine
    engine.progress()  # brings the daemon's gauges up to date
    body = generate_latest(engine.registry) + generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=healthz,
        summary="Whether the process answers",
        is_public=True,
        answers=(Answer(status=200, meaning="It does.", model=Health),),
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=readyz,
        summary="Whether the daemon does its work",
        is_public=True,
        answers=(
            Answer(status=200, meaning="It does.", model=Health),
            Answer(status=503, meaning="It does not; why.", model=Health),
        ),
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="Metrics for Prometheus",
        is_public=True,
        answers=(Answer(status=200, meaning="In Prometheus' text format.", shape="text"),),
    ),
)
