"""Deployments: list, read, make, change, ask for the deletion, take that back."""

from __future__ import annotations

from aiohttp import web

from api.changing import again_on_conflict, edit_deployment
from api.context import CONTEXT
from api.documents import Deployment, Rollback
from api.merge import merge
from api.requests import ACTOR, checked, conditions, document_of, name_in_path
from api.responses import answered
from api.routes import Answer, Route
from api.workspaces import check_same, expected
from state.desired import Desired, Document
from state.errors import NotFound

DEPLOYMENTS = "/v1/workspaces/{workspace}/deployments"
DEPLOYMENT = DEPLOYMENTS + "/{deployment}"


async def list_all(request: web.Request) -> web.Response:
    """Every deployment of every workspace."""
    return answered(await request.app[CONTEXT].desired.list_deployments())


async def list_some(request: web.Request) -> web.Response:
    """The deployments of one workspace."""
    desired, workspace = request.app[CONTEXT].desired, name_in_path(request, "workspace")
    await desired.get_workspace(workspace)  # no such workspace is another answer than an empty one
    return answered(await desired.list_deployments(workspace))


async def get(request: web.Request) -> web.Response:
    """One deployment's complete desired state."""
    found = await request.app[CONTEXT].desired.get_deployment(*path_of(request))
    return answered(found, generation=found["generation"])


async def put(request: web.Request) -> web.Response:
    """Make a deployment, or make it exactly so. The same document twice changes nothing."""
    desired, path, asked = request.app[CONTEXT].desired, path_of(request), conditions(request)
    document = _sound(checked(Deployment, await document_of(request)), path)

    async def attempt() -> tuple[Document | None, Document]:
        before = await _current(desired, path, document)
        return before, await desired.put_deployment(
            *path,
            document,
            actor=request[ACTOR],
            expected_generation=expected(asked, before, "/".join(path)),
        )

    before, after = await again_on_conflict(attempt, asked)
    return answered(after, status=201 if before is None else 200, generation=after["generation"])


async def patch(request: web.Request) -> web.Response:
    """Change a deployment by a merge patch. `{"deletion_requested_at": null}` takes a deletion back."""
    change, path = await document_of(request), path_of(request)
    after = await edit_deployment(
        request.app[CONTEXT].desired,
        path,
        lambda before: _sound(checked(Deployment, merge(before, change)), path),
        actor=request[ACTOR],
        asked=conditions(request),
    )
    return answered(after, generation=after["generation"])


async def delete(request: web.Request) -> web.Response:
    """Ask for a deployment's deletion: it stops now, and can be undeleted until its databases go."""
    found = await request.app[CONTEXT].desired.delete_deployment(
        *path_of(request), actor=request[ACTOR], expected_generation=conditions(request).generation
    )
    return answered(found, status=202, generation=found["generation"])


async def roll_back(request: web.Request) -> web.Response:
    """Make an earlier revision the newest generation; secrets go back to the versions they had."""
    asked = checked(Rollback, await document_of(request))
    found = await request.app[CONTEXT].desired.roll_back(
        *path_of(request), asked["revision"], actor=request[ACTOR]
    )
    return answered(found, generation=found["generation"])


def path_of(request: web.Request) -> tuple[str, str]:
    """The workspace and the name of the deployment that a request is about."""
    return name_in_path(request, "workspace"), name_in_path(request, "deployment")


async def _current(desired: Desired, path: tuple[str, str], document: Document) -> Document | None:
    """What a PUT of the document changes; None when it makes a new deployment.

    One that is being deleted is changed only by a document that speaks of the deletion: any other is about a new
    deployment of that name.
    """
    try:
        found = await desired.get_deployment(*path)
    except NotFound:
        return None
    is_leaving = found["deletion_requested_at"] is not None
    return None if is_leaving and "deletion_requested_at" not in document else found


def _sound(document: Document, path: tuple[str, str]) -> Document:
    """The document, when it is at its own path. Raises Problem 422."""
    check_same(document, "workspace", path[0])
    check_same(document, "name", path[1])
    return document


_DEPLOYMENT = Answer(status=200, meaning="The deployment.", model=Deployment, has_etag=True)
_MADE = Answer(status=201, meaning="Made.", model=Deployment, has_etag=True)
_DELETING = Answer(status=202, meaning="It stops now, and goes at delete_after.", model=Deployment, has_etag=True)
_LIST = Answer(status=200, meaning="By name.", model=Deployment, shape="list")

ROUTES = (
    Route(method="GET", path="/v1/deployments", handler=list_all, summary="Every deployment", answers=(_LIST,)),
    Route(
        method="GET", path=DEPLOYMENTS, handler=list_some, summary="A workspace's deployments", answers=(_LIST,)
    ),
    Route(method="GET", path=DEPLOYMENT, handler=get, summary="One deployment", answers=(_DEPLOYMENT,)),
    Route(
        method="PUT",
        path=DEPLOYMENT,
        handler=put,
        summary="Make a deployment, or make it so",
        body=Deployment,
        is_conditional=True,
        answers=(_DEPLOYMENT, _MADE),
    ),
    Route(
        method="PATCH",
        path=DEPLOYMENT,
        handler=patch,
        summary="Change a deployment (merge patch); a null deletion_requested_at undeletes it",
        body=Deployment,
        is_conditional=True,
        answers=(_DEPLOYMENT,),
    ),
    Route(
        method="DELETE",
        path=DEPLOYMENT,
        handler=delete,
        summary="Ask for a deployment's deletion",
        is_conditional=True,
        answers=(_DELETING,),
    ),
    Route(
        method="PUT",
        path=DEPLOYMENT + "/rollback",
        handler=roll_back,
        summary="Make an earlier revision the newest generation",
        body=Rollback,
        answers=(_DEPLOYMENT,),
    ),
)
