"""What is wrong now, across the fleet. Nothing is remembered: each answer is judged anew from what is stored."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from aiohttp import web

from api.answers import Alert
from api.context import CONTEXT
from api.responses import answered
from api.routes import Answer, Route
from model.status import Condition, Reason
from reconciler.alerts import Unguarded, Unwell, alerts
from state.desired import Document

_KNOWN = frozenset(str(one) for one in Reason)


async def list_all(request: web.Request) -> web.Response:
    """Every alert, the daemon's own first."""
    context = request.app[CONTEXT]
    unwell = [_unwell(one) for one in await context.desired.unwell()]
    unguarded = [Unguarded(**one) for one in await context.desired.unguarded()]
    found = alerts(unwell, context.engine.progress(), context.clock(), unguarded)
    return answered([_document(asdict(one)) for one in found])


def _unwell(said: Document) -> Unwell:
    since = datetime.fromisoformat(said["since"])
    return Unwell(
        deployment=f"{said['workspace']}/{said['name']}",
        since=since,
        emails=tuple(said["emails"]),
        condition=None if said["type"] is None else _condition(said, since),
    )


def _condition(said: Document, since: datetime) -> Condition:
    return Condition(
        type=said["type"],
        status=said["status"],
        reason=_reason(said["reason"]),
        message=said["message"],
        since=since,
    )


def _reason(said: str) -> Reason:
    """A newer daemon may have recorded a reason that this one does not know: then only that it lasts is told."""
    return Reason(said) if said in _KNOWN else Reason.NOT_HEALTHY


def _document(alert: dict[str, Any]) -> dict[str, Any]:
    return alert | {"since": alert["since"] and alert["since"].isoformat()}


ROUTES = (
    Route(
        method="GET",
        path="/v1/alerts",
        handler=list_all,
        summary="What is wrong now",
        answers=(Answer(status=200, meaning="Empty: all is well.", model=Alert, shape="list"),),
    ),
)
