"""What a request says, read strictly: names in the path, the document, parameters, conditions, who asks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from api.problems import Problem, of_validation
from api.routes import Query, route_of

ACTOR = web.RequestKey("actor", str)
"""The name of the token that a request came with."""
REQUEST_ID = web.RequestKey("request_id", str)

_NAME_CHARACTERS_MAX = 200
_ETAG = re.compile(r'^(?:W/)?"?(\d{1,18})"?$')
_TRUTHS = {"true": True, "1": True, "": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What must be true for a write: a generation (0: it must not exist yet), or only that it exists."""

    generation: int | None = None
    must_exist: bool = False

    @property
    def is_given(self) -> bool:
        """True when the request said any."""
        return self.generation is not None or self.must_exist


def name_in_path(request: web.Request, key: str) -> str:
    """A name from the path. One that cannot name anything is not found, whatever it is."""
    name = request.match_info[key]
    if len(name) > _NAME_CHARACTERS_MAX or not name.isprintable():
        raise Problem(status=404, detail=f"There is no {key} of that name.", hint="Names are short and printable.")
    return name


async def document_of(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem 400 for what is no JSON and 422 for what is no object."""
    if request.content_type == "application/json-patch+json":
        hint = "Send a merge patch (RFC 7396): the members that change, as application/merge-patch+json."
        raise Problem(status=415, detail="JSON Patch is not understood here.", hint=hint)
    found = _json(await request.read())
    if not isinstance(found, dict):
        raise Problem(status=422, detail="The body must be a JSON object.", pointer="", hint="Write {\u2026}.")
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg.lower()}, at line {error.lineno}, column {error.colno}."
    except UnicodeDecodeError:
        detail = "The body is not UTF-8."
    except RecursionError:
        detail = "The body is nested too deeply."
    except _Twice as error:
        detail = f"The body says {error.args[0]!r} twice in one object."
    except ValueError:
        detail = "The body holds a number that JSON does not have, or a too long one."
    raise Problem(status=400, detail=detail, hint="Send one JSON object, as UTF-8.")


class _Twice(Exception):
    """An object has a key twice, and nobody can know which one is meant."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key[:_NAME_CHARACTERS_MAX])
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def checked(model: type[BaseModel], document: dict[str, Any]) -> dict[str, Any]:
    """The document, unchanged, when the model accepts it. Raises Problem 422 naming the first wrong member."""
    try:
        model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise of_validation(error, model) from None
    return document


def conditions(request: web.Request) -> Conditions:
    """If-Match and If-None-Match. Raises Problem 400 for a condition that nothing could meet."""
    match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if none_match is not None:
        if none_match.strip() != "*" or match is not None:
            hint = "Send If-None-Match: * to create, or If-Match with the ETag that you read."
            raise Problem(status=400, detail="These conditions cannot be understood.", hint=hint)
        return Conditions(generation=0)
    if match is None:
        return Conditions()
    if match.strip() == "*":
        return Conditions(must_exist=True)
    found = _ETAG.match(match.strip())
    if found is None:
        raise Problem(
            status=400,
            detail="If-Match is no ETag of this API.",
            hint='Send it as it was answered: If-Match: "3".',
        )
    return Conditions(generation=int(found[1]))


def number(request: web.Request, name: str) -> int | None:
    """A whole number from the query, or its default. Raises Problem 400."""
    query = _declared(request, name)
    said = request.query.get(name)
    if said is None:
        return query.default
    if not re.fullmatch(r"[0-9]{1,18}", said) or not query.minimum <= int(said) <= query.maximum:
        hint = f"Choose a whole number between {query.minimum} and {query.maximum}."
        raise Problem(status=400, detail=f"?{name}= cannot be that.", hint=hint)
    return int(said)


def flag(request: web.Request, name: str) -> bool:
    """A true or false from the query, false when it is not there. Raises Problem 400."""
    said = request.query.get(name, "false").lower()
    if said not in _TRUTHS:
        raise Problem(status=400, detail=f"?{name}= cannot be that.", hint="Write true or false.")
    return _TRUTHS[said]


def text(request: web.Request, name: str) -> str:
    """A text from the query, which must be there. Raises Problem 400."""
    found = request.query.get(name, "")
    if not found:
        raise Problem(status=400, detail=f"?{name}= is missing.", hint=_declared(request, name).meaning)
    return found


def _declared(request: web.Request, name: str) -> Query:
    route = route_of(request)
    assert route is not None, "a handler runs only for a route"
    return next(one for one in route.query if one.name == name)


def check_query(request: web.Request) -> None:
    """Refuse parameters that the route does not know: a mistyped one must not be ignored. Raises Problem 400."""
    route = route_of(request)
    if route is None:
        return
    known = [one.name for one in route.query]
    stranger = next((one for one in request.query if one not in known), None)
    if stranger is not None:
        hint = f"Parameters: {', '.join(known)}" if known else "Nothing may follow the ? here."
        raise Problem(status=400, detail=f"There is no parameter {stranger[:80]!r} here.", hint=hint)
