"""What a deployment's units use of their cluster."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from api import answers
from api.context import CONTEXT
from api.deployments import DEPLOYMENT, path_of
from api.responses import answered
from api.routes import Answer, Route


async def usage(request: web.Request) -> web.Response:
    """Processes, processor time and memory of each unit that runs. Two answers tell how busy it was."""
    context = request.app[CONTEXT]
    deployment = await context.desired.get_deployment(*path_of(request))
    found = await asyncio.to_thread(context.usage, deployment["release"])
    units = [
        {
            "unit": unit,
            "processes": one.processes,
            "cpu_seconds": round(one.cpu_seconds, 3),
            "memory_bytes": one.memory_bytes,
        }
        for unit, one in sorted(found.items())
    ]
    return answered({"seconds": time.monotonic(), "units": units}, headers={"Cache-Control": "no-store"})


ROUTES = (
    Route(
        method="GET",
        path=DEPLOYMENT + "/usage",
        handler=usage,
        summary="What a deployment uses of its cluster",
        answers=(Answer(status=200, meaning="Each unit that runs.", model=answers.Usage),),
    ),
)
