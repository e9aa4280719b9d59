"""What is known about a deployment: status, events, revisions, why, the plan of the next pass, and the login."""

from __future__ import annotations

from aiohttp import web

from api import answers
from api.context import CONTEXT
from api.deployments import DEPLOYMENT, path_of
from api.planning import plan_document
from api.problems import Problem
from api.requests import ACTOR, number
from api.responses import answered
from api.routes import Answer, Query, Route
from model.names import SecretRef
from reconciler.components.airflow import ADMIN

_ROWS_MAX = 1000
_ID_MAX = 10**18
_PASSWORD = "admin-password"  # noqa: S105 - the name of the secret


async def status(request: web.Request) -> web.Response:
    """What the daemon concluded, where it runs, and which generation that is about."""
    return answered(await request.app[CONTEXT].desired.status(*path_of(request)))


async def events(request: web.Request) -> web.Response:
    """What happened, the oldest first: after an event, or the newest."""
    after, limit = number(request, "after"), number(request, "limit") or 1
    found = await request.app[CONTEXT].desired.events(*path_of(request), after=after, limit=limit)
    return answered(found)


async def revisions(request: web.Request) -> web.Response:
    """Generations, each a complete spec, the newest first."""
    before, limit = number(request, "before"), number(request, "limit") or 1
    found = await request.app[CONTEXT].desired.revisions(*path_of(request), before=before, limit=limit)
    return answered(found)


async def why(request: web.Request) -> web.Response:
    """Why it is as it is, in sentences."""
    return answered(await request.app[CONTEXT].desired.why(*path_of(request)))


async def plan(request: web.Request) -> web.Response:
    """What a pass would do now. Looks at the world and writes nothing."""
    context = request.app[CONTEXT]
    owner = await context.desired.owner(*path_of(request))
    return answered(plan_document(await context.engine.preview(owner)))


async def login(request: web.Request) -> web.Response:
    """The administrator's login to its Airflow. Who asked is kept as an event."""
    context, path = request.app[CONTEXT], path_of(request)
    owner = await context.desired.owner(*path)
    version = await context.desired.secret_version(*path, _PASSWORD)
    if version is None:
        raise Problem(
            status=409,
            detail=f"The login of {'/'.join(path)} is not generated yet.",
            hint="It is by the first pass: ask again in a moment. GET its /why says what it waits for.",
        )
    addresses = (await context.desired.status(*path))["addresses"]
    password = await context.reveal(SecretRef(str(owner), _PASSWORD, version))
    message = f"The login to Airflow was shown to {request[ACTOR]}."
    await context.desired.note(*path, reason="LoginShown", message=message)
    document = {"username": ADMIN, "password": password, "url": addresses.get("airflow")}
    return answered(document, headers={"Cache-Control": "no-store"})


_LIMIT = Query(name="limit", meaning="How many at most.", default=100, minimum=1, maximum=_ROWS_MAX)

ROUTES = (
    Route(
        method="GET",
        path=DEPLOYMENT + "/status",
        handler=status,
        summary="How a deployment is",
        answers=(Answer(status=200, meaning="Its conditions and units.", model=answers.Status),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/events",
        handler=events,
        summary="What happened to a deployment",
        query=(
            Query(
                name="after", meaning="Only events after the one with this id; else the newest.", maximum=_ID_MAX
            ),
            _LIMIT,
        ),
        answers=(Answer(status=200, meaning="The oldest first.", model=answers.Event, shape="list"),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/revisions",
        handler=revisions,
        summary="Every generation of a deployment",
        query=(Query(name="before", meaning="Only generations below this one.", maximum=_ID_MAX), _LIMIT),
        answers=(Answer(status=200, meaning="The newest first.", model=answers.Revision, shape="list"),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/why",
        handler=why,
        summary="Why a deployment is as it is",
        answers=(Answer(status=200, meaning="In sentences.", model=answers.Why),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/plan",
        handler=plan,
        summary="What a pass would do now (dry run)",
        answers=(Answer(status=200, meaning="All empty: converged.", model=answers.Plan),),
    ),
    Route(
        method="GET",
        path=DEPLOYMENT + "/login",
        handler=login,
        summary="The administrator's login to a deployment's Airflow",
        answers=(Answer(status=200, meaning="Never cached; asking is an event.", model=answers.Login),),
    ),
)
