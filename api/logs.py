"""What a deployment's units printed: the last lines as JSON or as text, or text as it comes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from api import answers
from api.context import CONTEXT
from api.deployments import DEPLOYMENT, path_of
from api.moments import since
from api.problems import Problem
from api.requests import flag, name_in_path, number, text
from api.responses import answered
from api.routes import Answer, Query, Route
from api.tailing import added, tail
from state.errors import NotFound

_LINES_MAX = 10_000
_AGO_SECONDS_MAX = 31 * 24 * 3600
_LOOK_SECONDS = 0.25
_FOLLOW_SECONDS = 600
_FOLLOW_SECONDS_MAX = 3600
"""Nobody follows for ever: a forgotten client must not hold a connection for days. It may ask again."""

_HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}


async def lines(request: web.Request) -> web.Response:
    """The last lines of one unit, as a list."""
    unit = text(request, "unit")
    content, _ = await _tail(await _log_of(request, unit), number(request, "lines") or 0)
    printed = content.splitlines()
    if seconds := number(request, "since"):
        printed = list(since(printed, datetime.now(UTC) - timedelta(seconds=seconds)))
    found = [line.decode(errors="replace") for line in printed]
    return answered({"unit": unit, "lines": found}, headers={"Cache-Control": "no-store"})


async def show(request: web.Request) -> web.StreamResponse:
    """The last lines of one unit, as text; with `follow`, then what it prints until the time is over."""
    count, seconds = number(request, "tail") or 0, number(request, "seconds") or 0
    is_followed = flag(request, "follow")
    path = await _log_of(request, name_in_path(request, "unit"))
    if is_followed:
        return await _follow(request, path, count, seconds)
    content, _ = await _tail(path, count)
    return web.Response(body=content, headers=_HEADERS)


async def _log_of(request: web.Request, unit: str) -> Path:
    """Where a unit's log is. Raises NotFound, naming the units that have one."""
    context = request.app[CONTEXT]
    deployment = await context.desired.get_deployment(*path_of(request))
    try:
        found = await asyncio.to_thread(context.logs, deployment["release"])
    except OSError as error:  # what it lists may be removed meanwhile
        raise _unreadable(error) from None
    if unit not in found:
        names = ", ".join(sorted(found)) or "none of its units yet"
        raise NotFound(f"{'/'.join(path_of(request))} has no log of {unit!r}.", hint=f"There are logs of: {names}")
    return found[unit]


async def _tail(path: Path, count: int) -> tuple[bytes, object]:
    try:
        return await asyncio.to_thread(tail, path, count)
    except OSError as error:
        raise _unreadable(error) from None


async def _follow(request: web.Request, path: Path, count: int, seconds: int) -> web.StreamResponse:
    try:
        content, position = await asyncio.to_thread(tail, path, count)
    except OSError as error:
        raise _unreadable(error) from None
    response = web.StreamResponse(headers=_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    # the time is over, the client went away, or the log cannot be read (all are OSErrors): all was said
    with suppress(OSError):
        async with asyncio.timeout(seconds):
            while request.transport is not None and not request.transport.is_closing():
                if content:
                    await response.write(content)
                else:
                    await asyncio.sleep(_LOOK_SECONDS)
                content, position = await asyncio.to_thread(added, path, position)
    with suppress(ConnectionError):
        await response.write_eof()
    return response


def _unreadable(error: OSError) -> Problem:
    detail = f"The log cannot be read: {error.strerror or type(error).__name__}."
    return Problem(status=503, detail=detail, hint="It may be about to be made or removed: ask again in a moment.")


ROUTES = (
    Route(
        method="GET",
        path=DEPLOYMENT + "/logs",
        handler=lines,
        summary="The last lines of a unit",
        query=(
            Query(name="unit", meaning="Whose: a unit's name, as in /status.", kind="text"),
            Query(name="lines", meaning="How many.", default=200, maximum=_LINES_MAX),
            Query(
                name="since",
                meaning="Of them, only those of the last so many seconds.",
                minimum=1,
                maximum=_AGO_SECONDS_MAX,
            ),
        ),
        answers=(Answer(status=200, meaning="The oldest first.", model=answers.LogLines),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/logs/{unit}",
        handler=show,
        summary="The log of a unit, as text",
        is_stream=True,
        query=(
            Query(name="tail", meaning="How many of the last lines.", default=200, maximum=_LINES_MAX),
            Query(name="follow", meaning="Go on with what comes.", kind="flag"),
            Query(
                name="seconds",
                meaning="How long to follow.",
                default=_FOLLOW_SECONDS,
                minimum=1,
                maximum=_FOLLOW_SECONDS_MAX,
            ),
        ),
        answers=(Answer(status=200, meaning="Lines of text.", shape="text"),),
    ),
)
