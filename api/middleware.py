"""What happens to every request, whatever it asks.

From the outside in: it is named and logged, its errors become problems, who asks is found out (auth), its
parameters are checked, and it is bounded in time.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.metrics import METRICS, NO_ROUTE
from api.problems import Problem, of_driver, of_http, of_state
from api.requests import ACTOR, REQUEST_ID, check_query
from api.routes import route_of
from drivers.base import DriverError
from state.errors import StateError

log = structlog.get_logger()

REQUEST_SECONDS_MAX = 30.0
"""A plan looks at the world, which may take some seconds; nothing else takes one."""

_HEADER = "X-Request-Id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ABANDONED = 499  # who asked went away before the answer was complete
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked each few seconds by probes: only failures are news


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, and say afterwards who asked what and how it ended. Never headers, bodies or queries."""
    given = request.headers.get(_HEADER, "")
    request[REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
    begun = time.monotonic()
    status = _ABANDONED
    try:
        response = await handler(request)
        status = response.status
    finally:
        _note(request, status, time.monotonic() - begun)
    return response


def _note(request: web.Request, status: int, seconds: float) -> None:
    route = route_of(request)
    path = route.path if route else NO_ROUTE
    metrics = request.app[METRICS]
    metrics.requests.labels(request.method if route else NO_ROUTE, path, status).inc()
    metrics.seconds.labels(path).observe(seconds)
    if request.path not in _QUIET or status >= 500:
        log.info(
            "request answered",
            method=request.method,
            path=request.path,
            status=status,
            seconds=round(seconds, 4),
            actor=request.get(ACTOR, ""),
            request_id=request[REQUEST_ID],
        )


async def name_response(request: web.Request, response: web.StreamResponse) -> None:
    """Send the request's id with every answer, also with those that are streamed."""
    response.headers[_HEADER] = request.get(REQUEST_ID, "")
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["X-Content-Type-Options"] = "nosniff"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem. This is the outermost border: nothing unforeseen gets past it untold."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response(request[REQUEST_ID])
    except StateError as error:
        is_conditional = not {"If-Match", "If-None-Match"}.isdisjoint(request.headers)
        return of_state(error, is_conditional=is_conditional).response(request[REQUEST_ID])
    except DriverError as error:
        return of_driver(error).response(request[REQUEST_ID])
    except web.HTTPException as error:
        return of_http(error).response(request[REQUEST_ID])
    except Exception as error:  # noqa: BLE001
        return _broken(request, error).response(request[REQUEST_ID])


def _broken(request: web.Request, error: Exception) -> Problem:
    """An error nobody foresaw. Its text may quote a document, so only its kind and place are logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    log.error("request broke", kind=type(error).__name__, place=place, request_id=request[REQUEST_ID])
    return Problem(
        status=500,
        detail="An error that nobody foresaw.",
        hint=f"The daemon's log tells more of request {request[REQUEST_ID]}. Please report it.",
    )


@web.middleware
async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """End what takes too long. Streams bound themselves."""
    check_query(request)
    route = route_of(request)
    if route is not None and route.is_stream:
        return await handler(request)
    try:
        async with asyncio.timeout(REQUEST_SECONDS_MAX) as limit:
            return await handler(request)
    except TimeoutError:
        if not limit.expired():
            raise
        raise Problem(
            status=504,
            detail=f"There was no answer within {REQUEST_SECONDS_MAX:.0f} s.",
            hint="A change may or may not have been made: read it again. GET /readyz says how the daemon is.",
        ) from None
