"""Components and variables of a deployment, each by itself. The ETag is the whole deployment's."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.changing import edit_deployment
from api.context import CONTEXT
from api.deployments import DEPLOYMENT, path_of
from api.documents import Component, Variable
from api.merge import merge
from api.problems import pointer_of
from api.requests import ACTOR, checked, conditions, document_of, name_in_path
from api.responses import answered
from api.routes import Answer, Route
from state.desired import Document
from state.errors import NotFound

_COMPONENTS = DEPLOYMENT + "/components"
_COMPONENT = _COMPONENTS + "/{component}"
_VARIABLES = DEPLOYMENT + "/variables"
_VARIABLE = _VARIABLES + "/{variable}"


async def list_components(request: web.Request) -> web.Response:
    """Every component of a deployment, by name."""
    found = await _deployment(request)
    return answered(found["components"], generation=found["generation"])


async def get_component(request: web.Request) -> web.Response:
    """One component."""
    found = await _deployment(request)
    part = _part(found, "component", name_in_path(request, "component"))
    return answered(part, generation=found["generation"])


async def patch_component(request: web.Request) -> web.Response:
    """Change a component by a merge patch; null gives a member its default back."""
    change, name = await document_of(request), name_in_path(request, "component")

    def edit(before: Document) -> Document:
        wanted = checked(Component, merge(_part(before, "component", name), change))
        return _with(before, "components", {**before["components"], name: wanted})

    after = await _edited(request, edit, ("components", name))
    return answered(after["components"][name], generation=after["generation"])


async def list_variables(request: web.Request) -> web.Response:
    """Every variable of a deployment, by name. Secrets show their version only."""
    found = await _deployment(request)
    return answered(found["variables"], generation=found["generation"])


async def get_variable(request: web.Request) -> web.Response:
    """One variable."""
    found = await _deployment(request)
    part = _part(found, "variable", name_in_path(request, "variable"))
    return answered(part, generation=found["generation"])


async def put_variable(request: web.Request) -> web.Response:
    """Make a variable, or make it so. Who reads it restarts, and nobody else."""
    document, name = checked(Variable, await document_of(request)), name_in_path(request, "variable")
    was_there = False

    def edit(before: Document) -> Document:
        nonlocal was_there
        was_there = name in before["variables"]
        return _with(before, "variables", {**before["variables"], name: document})

    after = await _edited(request, edit, ("variables", name))
    status = 200 if was_there else 201
    return answered(after["variables"][name], status=status, generation=after["generation"])


async def delete_variable(request: web.Request) -> web.Response:
    """Remove a variable."""
    name = name_in_path(request, "variable")

    def edit(before: Document) -> Document:
        _part(before, "variable", name)
        rest = {key: value for key, value in before["variables"].items() if key != name}
        return _with(before, "variables", rest)

    after = await _edited(request, edit, ("variables", name))
    return web.Response(status=204, headers={"ETag": f'"{after["generation"]}"'})


async def _deployment(request: web.Request) -> Document:
    return await request.app[CONTEXT].desired.get_deployment(*path_of(request))


async def _edited(request: web.Request, edit: Any, place: tuple[str, str]) -> Document:
    return await edit_deployment(
        request.app[CONTEXT].desired,
        path_of(request),
        edit,
        actor=request[ACTOR],
        asked=conditions(request),
        place=pointer_of(place),
    )


def _part(deployment: Document, kind: str, name: str) -> Document:
    """A component or a variable. Raises NotFound, which lists what there is."""
    parts: dict[str, Document] = deployment[f"{kind}s"]
    if name not in parts:
        where = f"{deployment['workspace']}/{deployment['name']}"
        raise NotFound(f"{where} has no {kind} {name!r}.", hint=f"There are: {', '.join(sorted(parts)) or 'none'}")
    return parts[name]


def _with(deployment: Document, key: str, value: Document) -> Document:
    return {**deployment, key: value}


_A_COMPONENT = Answer(status=200, meaning="The component.", model=Component, has_etag=True)
_A_VARIABLE = Answer(status=200, meaning="The variable.", model=Variable, has_etag=True)

ROUTES = (
    Route(
        method="GET",
        path=_COMPONENTS,
        handler=list_components,
        summary="A deployment's components",
        answers=(Answer(status=200, meaning="By name.", model=Component, shape="map", has_etag=True),),
    ),
    Route(method="GET", path=_COMPONENT, handler=get_component, summary="One component", answers=(_A_COMPONENT,)),
    Route(
        method="PATCH",
        path=_COMPONENT,
        handler=patch_component,
        summary="Change a component (merge patch)",
        body=Component,
        is_conditional=True,
        answers=(_A_COMPONENT,),
    ),
    Route(
        method="GET",
        path=_VARIABLES,
        handler=list_variables,
        summary="A deployment's variables",
        answers=(Answer(status=200, meaning="By name.", model=Variable, shape="map", has_etag=True),),
    ),
    Route(method="GET", path=_VARIABLE, handler=get_variable, summary="One variable", answers=(_A_VARIABLE,)),
    Route(
        method="PUT",
        path=_VARIABLE,
        handler=put_variable,
        summary="Make a variable, or make it so",
        body=Variable,
        is_conditional=True,
        answers=(_A_VARIABLE, Answer(status=201, meaning="Made.", model=Variable, has_etag=True)),
    ),
    Route(
        method="DELETE",
        path=_VARIABLE,
        handler=delete_variable,
        summary="Remove a variable",
        is_conditional=True,
        answers=(Answer(status=204, meaning="It is gone.", shape="nothing", has_etag=True),),
    ),
)
