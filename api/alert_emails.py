"""Who is to be told when something is wrong with a deployment. `/v1/alerts` names them.

They change nothing that runs: no generation counts them, so there is no ETag, and a rollback leaves them alone.
"""

from __future__ import annotations

from aiohttp import web

from api.changing import again_on_conflict, within
from api.context import CONTEXT
from api.deployments import DEPLOYMENT
from api.documents import AlertEmail
from api.problems import pointer_of
from api.requests import ACTOR, Conditions, name_in_path
from api.responses import answered
from api.routes import Answer, Route
from state.errors import InvalidSpec

_EMAILS = DEPLOYMENT + "/alert-emails"
_EMAIL = _EMAILS + "/{email}"


async def list_all(request: web.Request) -> web.Response:
    """The addresses that a deployment tells, in order."""
    found = await request.app[CONTEXT].desired.alert_emails(*_path(request))
    return answered([{"email": email} for email in found])


async def put(request: web.Request) -> web.Response:
    """Let a deployment tell an address."""
    desired, path, email = request.app[CONTEXT].desired, _path(request), name_in_path(request, "email")

    async def attempt() -> bool:
        return await desired.put_alert_email(*path, email, actor=request[ACTOR])

    try:
        is_new = await again_on_conflict(attempt, Conditions())
    except InvalidSpec as error:
        error.pointer = within(pointer_of(("alert_emails", email)), error.pointer)
        raise
    return answered({"email": email}, status=201 if is_new else 200)


async def delete(request: web.Request) -> web.Response:
    """Let a deployment tell an address no more."""
    email = name_in_path(request, "email")
    await request.app[CONTEXT].desired.delete_alert_email(*_path(request), email, actor=request[ACTOR])
    return web.Response(status=204)


def _path(request: web.Request) -> tuple[str, str]:
    return name_in_path(request, "workspace"), name_in_path(request, "deployment")


ROUTES = (
    Route(
        method="GET",
        path=_EMAILS,
        handler=list_all,
        summary="Who is to be told when something is wrong with a deployment",
        answers=(Answer(status=200, meaning="In order.", model=AlertEmail, shape="list"),),
    ),
    Route(
        method="PUT",
        path=_EMAIL,
        handler=put,
        summary="Let a deployment tell an address",
        answers=(
            Answer(status=200, meaning="It does already.", model=AlertEmail),
            Answer(status=201, meaning="It does now.", model=AlertEmail),
        ),
    ),
    Route(
        method="DELETE",
        path=_EMAIL,
        handler=delete,
        summary="Let a deployment tell an address no more",
        answers=(Answer(status=204, meaning="It does not.", shape="nothing"),),
    ),
)
