"""The HTTP application: every route in one list, and what happens to every request."""

from __future__ import annotations

from aiohttp import web

from api import (
    alert_emails,
    alerts,
    default_variables,
    deployments,
    health,
    logs,
    observations,
    parts,
    usage,
    workspaces,
)
from api.auth import authenticated
from api.context import CONTEXT, Context
from api.metrics import METRICS, Metrics
from api.middleware import bounded, name_response, observed, problems
from api.openapi import openapi
from api.responses import answered
from api.routes import ROUTES, Answer, Route

BODY_BYTES_MAX = 256 * 1024
"""A deployment's document has some kilobytes; what is bigger is a mistake."""


async def _describe(request: web.Request) -> web.Response:
    """The OpenAPI 3.1 document of this API."""
    return answered(openapi(request.app[ROUTES].values()))


ALL_ROUTES: tuple[Route, ...] = (
    *workspaces.ROUTES,
    *deployments.ROUTES,
    *parts.ROUTES,
    *default_variables.ROUTES,
    *alert_emails.ROUTES,
    *observations.ROUTES,
    *logs.ROUTES,
    *usage.ROUTES,
    *alerts.ROUTES,
    *health.ROUTES,
    Route(
        method="GET",
        path="/openapi.json",
        handler=_describe,
        summary="This document",
        answers=(Answer(status=200, meaning="OpenAPI 3.1."),),
    ),
)


def create_app(context: Context) -> web.Application:
    """The API over the given parts. Whoever runs it closes them afterwards."""
    by_path: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in ALL_ROUTES}
    app = web.Application(middlewares=[observed, problems, authenticated, bounded], client_max_size=BODY_BYTES_MAX)
    app[CONTEXT] = context
    app[METRICS] = Metrics()
    app[ROUTES] = by_path
    for route in ALL_ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    app.on_response_prepare.append(name_response)
    return app
