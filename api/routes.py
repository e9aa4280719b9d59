"""What a route is: a method, a path, who answers, and what goes in and comes out.

The application and the OpenAPI document are both made from the same list of these, so that neither can lie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Shape = Literal["one", "list", "map", "text", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One successful answer: `one` document, a `list` or a `map` of them, plain `text`, or `nothing`."""

    status: int
    meaning: str
    model: type[BaseModel] | None = None
    shape: Shape = "one"
    has_etag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parameter after the `?`: a whole number within bounds, true or false, or a required text."""

    name: str
    meaning: str
    kind: Literal["number", "flag", "text"] = "number"
    default: int | None = None
    minimum: int = 0
    maximum: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing that can be asked. `is_conditional`: If-Match and If-None-Match are honoured.

    `is_public` needs no token; `is_stream` may take longer than other answers.
    """

    method: Literal["GET", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answers: tuple[Answer, ...]
    body: type[BaseModel] | None = None
    query: tuple[Query, ...] = ()
    is_conditional: bool = False
    is_public: bool = False
    is_stream: bool = False


ROUTES: web.AppKey[dict[tuple[str, str], Route]] = web.AppKey("routes")
"""An application's routes by method and path template."""


def route_of(request: web.Request) -> Route | None:
    """The route that a request was matched to; None for a path or method that is not there."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    return request.app[ROUTES].get((request.method, resource.canonical))
