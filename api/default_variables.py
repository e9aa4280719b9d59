"""Default variables of the platform, a cluster, a workspace: what deployments have unless they say otherwise.

The same routes for each of the three layers. They count in no deployment's generation, so there is no ETag.
"""

from __future__ import annotations

from aiohttp import web

from api.changing import again_on_conflict, within
from api.context import CONTEXT
from api.documents import DefaultVariable
from api.problems import pointer_of
from api.requests import ACTOR, Conditions, checked, document_of, name_in_path
from api.responses import answered
from api.routes import Answer, Route
from state.desired import Layer
from state.errors import InvalidSpec, NotFound

_LAYERS = {
    "the platform": "/v1/default-variables",
    "a cluster": "/v1/clusters/{cluster}/default-variables",
    "a workspace": "/v1/workspaces/{workspace}/default-variables",
}


async def list_all(request: web.Request) -> web.Response:
    """Every default variable of a layer, by name."""
    return answered(await request.app[CONTEXT].desired.default_variables(_layer(request)))


async def get(request: web.Request) -> web.Response:
    """One default variable."""
    name = name_in_path(request, "variable")
    found = await request.app[CONTEXT].desired.default_variables(_layer(request))
    if name not in found:
        raise NotFound(
            f"There is no default variable {name!r} in that layer.",
            hint=f"There are: {', '.join(sorted(found)) or 'none'}",
        )
    return answered(found[name])


async def put(request: web.Request) -> web.Response:
    """Make a default variable, or make it so. It reaches deployments a few at a time."""
    desired, layer, name = request.app[CONTEXT].desired, _layer(request), name_in_path(request, "variable")
    document = checked(DefaultVariable, await document_of(request))

    async def attempt() -> bool:
        return await desired.put_default_variable(layer, name, document["value"], actor=request[ACTOR])

    try:
        is_new = await again_on_conflict(attempt, Conditions())
    except InvalidSpec as error:
        error.pointer = within(pointer_of(("variables", name)), error.pointer)
        raise
    return answered(document, status=201 if is_new else 200)


async def delete(request: web.Request) -> web.Response:
    """Remove a default variable. Deployments that had it run without it from their next look on."""
    name = name_in_path(request, "variable")
    await request.app[CONTEXT].desired.delete_default_variable(_layer(request), name, actor=request[ACTOR])
    return web.Response(status=204)


def _layer(request: web.Request) -> Layer:
    for layer in ("cluster", "workspace"):
        if layer in request.match_info:
            return layer, name_in_path(request, layer)
    return "platform", ""


def _routes(layer: str, path: str) -> tuple[Route, ...]:
    one = path + "/{variable}"
    variable = Answer(status=200, meaning="The default variable.", model=DefaultVariable)
    listed = Answer(status=200, meaning="By name.", model=DefaultVariable, shape="map")
    made = Answer(status=201, meaning="Made.", model=DefaultVariable)
    gone = Answer(status=204, meaning="It is gone.", shape="nothing")
    return (
        Route(
            method="GET", path=path, handler=list_all, summary=f"Default variables of {layer}", answers=(listed,)
        ),
        Route(
            method="GET", path=one, handler=get, summary=f"One default variable of {layer}", answers=(variable,)
        ),
        Route(
            method="PUT",
            path=one,
            handler=put,
            summary=f"Make a default variable of {layer}, or make it so",
            body=DefaultVariable,
            answers=(variable, made),
        ),
        Route(
            method="DELETE",
            path=one,
            handler=delete,
            summary=f"Remove a default variable of {layer}",
            answers=(gone,),
        ),
    )


ROUTES = tuple(route for layer, path in _LAYERS.items() for route in _routes(layer, path))
