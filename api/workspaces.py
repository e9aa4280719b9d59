"""Workspaces: list, read, make, change, remove."""

from __future__ import annotations

from aiohttp import web

from api.changing import again_on_conflict
from api.context import CONTEXT
from api.documents import Workspace
from api.merge import merge
from api.problems import Problem
from api.requests import ACTOR, Conditions, checked, conditions, document_of, name_in_path
from api.responses import answered
from api.routes import Answer, Route
from state.desired import Desired, Document
from state.errors import GenerationConflict, NotFound

_ONE = "/v1/workspaces/{workspace}"


async def list_all(request: web.Request) -> web.Response:
    """Every workspace, by name."""
    return answered(await request.app[CONTEXT].desired.list_workspaces())


async def get(request: web.Request) -> web.Response:
    """One workspace."""
    found = await request.app[CONTEXT].desired.get_workspace(name_in_path(request, "workspace"))
    return answered(found, generation=found["generation"])


async def put(request: web.Request) -> web.Response:
    """Make a workspace, or make it exactly so."""
    desired, name, asked = request.app[CONTEXT].desired, name_in_path(request, "workspace"), conditions(request)
    document = checked(Workspace, await document_of(request))
    check_same(document, "name", name)

    async def attempt() -> tuple[Document | None, Document]:
        before = await _current(desired, name)
        return before, await desired.put_workspace(
            name, document, actor=request[ACTOR], expected_generation=expected(asked, before, name)
        )

    before, after = await again_on_conflict(attempt, asked)
    return answered(after, status=201 if before is None else 200, generation=after["generation"])


async def patch(request: web.Request) -> web.Response:
    """Change a workspace by a merge patch."""
    desired, name, asked = request.app[CONTEXT].desired, name_in_path(request, "workspace"), conditions(request)
    change = await document_of(request)

    async def attempt() -> Document:
        before = await desired.get_workspace(name)
        wanted = checked(Workspace, merge(before, change))
        check_same(wanted, "name", name)
        generation = before["generation"] if asked.generation is None else asked.generation
        return await desired.put_workspace(name, wanted, actor=request[ACTOR], expected_generation=generation)

    after = await again_on_conflict(attempt, asked)
    return answered(after, generation=after["generation"])


async def delete(request: web.Request) -> web.Response:
    """Remove a workspace that has no deployments."""
    removed = await request.app[CONTEXT].desired.delete_workspace(
        name_in_path(request, "workspace"),
        actor=request[ACTOR],
        expected_generation=conditions(request).generation,
    )
    return answered(removed)


async def _current(desired: Desired, name: str) -> Document | None:
    try:
        return await desired.get_workspace(name)
    except NotFound:
        return None


def expected(asked: Conditions, before: Document | None, name: str) -> int | None:
    """The generation a PUT is for. Where nothing was, it must still be nothing: then it is known who made it."""
    if before is None and asked.must_exist:
        raise GenerationConflict(f"{name} does not exist.", hint="Leave If-Match out to make it.")
    if asked.generation is not None:
        return asked.generation
    return 0 if before is None else None


def check_same(document: Document, key: str, name: str) -> None:
    """A document that names itself must be at its own path. Raises Problem 422."""
    said = document.get(key)
    if said is not None and said != name:
        raise Problem(
            status=422,
            detail=f"The document says {key} {said!r}, and the path {name!r}.",
            pointer=f"/{key}",
            hint=f"Leave {key} out, or write to the path it names. Names never change.",
        )


_WORKSPACE = Answer(status=200, meaning="The workspace.", model=Workspace, has_etag=True)

ROUTES = (
    Route(
        method="GET",
        path="/v1/workspaces",
        handler=list_all,
        summary="Every workspace",
        answers=(Answer(status=200, meaning="By name.", model=Workspace, shape="list"),),
    ),
    Route(method="GET", path=_ONE, handler=get, summary="One workspace", answers=(_WORKSPACE,)),
    Route(
        method="PUT",
        path=_ONE,
        handler=put,
        summary="Make a workspace, or make it so",
        body=Workspace,
        is_conditional=True,
        answers=(_WORKSPACE, Answer(status=201, meaning="Made.", model=Workspace, has_etag=True)),
    ),
    Route(
        method="PATCH",
        path=_ONE,
        handler=patch,
        summary="Change a workspace (merge patch)",
        body=Workspace,
        is_conditional=True,
        answers=(_WORKSPACE,),
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=delete,
        summary="Remove an empty workspace",
        is_conditional=True,
        answers=(Answer(status=200, meaning="It is gone; this is what it was.", model=Workspace),),
    ),
)
