"""Problems (RFC 9457): what was wrong, where in the document, and what to do next.

Every error that leaves the API is one of these. The store's errors already are sentences for people; errors of
pydantic become some here, without the values they complain about: a value may be a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from aiohttp import web
from pydantic import BaseModel, ValidationError

from drivers.base import DriverError
from drivers.base import Refused as DriverRefused
from state.errors import (
    GenerationConflict,
    InvalidSpec,
    NotFound,
    Refused,
    SecretMissing,
    StateError,
    Unreachable,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = "2"

_TITLES: Mapping[int, tuple[str, str]] = {
    400: ("bad-request", "The request cannot be understood"),
    401: ("not-authenticated", "Not authenticated"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "That cannot be done here"),
    409: ("refused", "Refused"),
    412: ("changed-meanwhile", "Changed meanwhile"),
    413: ("too-large", "Too large"),
    415: ("wrong-media-type", "Wrong media type"),
    422: ("invalid-document", "The document cannot be accepted"),
    500: ("internal-error", "Internal error"),
    503: ("unavailable", "Not available now"),
    504: ("timeout", "It took too long"),
}


@dataclass(eq=False, kw_only=True)  # not frozen: Python itself sets an exception's traceback
class Problem(Exception):
    """An answer that is a problem. `pointer` is the JSON pointer of a member of the document sent.

    `rule` is the name of the store's rule that says no, the same as in psql.
    """

    status: int
    detail: str
    pointer: str | None = None
    hint: str = ""
    rule: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self, request_id: str = "") -> dict[str, Any]:
        """What is answered."""
        slug, title = _TITLES.get(self.status, ("http-error", "The request failed"))
        said: dict[str, Any] = {
            "type": f"urn:armillary:problem:{slug}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.pointer is not None:
            said["pointer"] = self.pointer
        if self.hint:
            said["hint"] = self.hint
        if self.rule:
            said["rule"] = self.rule
        return said | ({"request_id": request_id} if request_id else {})

    def response(self, request_id: str = "") -> web.Response:
        """The answer itself."""
        return web.Response(
            status=self.status,
            text=json.dumps(self.document(request_id)) + "\n",
            content_type=MEDIA_TYPE,
            headers=dict(self.headers),
        )


def of_state(error: StateError, *, is_conditional: bool = False) -> Problem:
    """The problem that an error of the store is. `is_conditional`: the request said If-Match or If-None-Match."""
    match error:
        case NotFound():
            return Problem(status=404, detail=str(error), hint=error.hint, rule=error.rule)
        case GenerationConflict():
            status = 412 if is_conditional else 409
            return Problem(status=status, detail=str(error), hint=error.hint, rule=error.rule)
        case InvalidSpec():
            detail = " ".join(one for one in (str(error), error.detail) if one)
            return Problem(status=422, detail=detail, pointer=error.pointer, hint=error.hint, rule=error.rule)
        case Refused():
            detail = " ".join(filter(None, (str(error), error.detail)))
            return Problem(status=409, detail=detail, hint=error.hint, rule=error.rule)
        case SecretMissing():
            return Problem(status=409, detail=str(error))
        case Unreachable():
            return _unavailable(str(error))
        case _:
            return Problem(status=500, detail=str(error), hint="See the daemon's log.")


def of_driver(error: DriverError) -> Problem:
    """The problem that an error of a driver is: the world could not be asked, or said no."""
    if isinstance(error, DriverRefused):
        return Problem(status=409, detail=str(error))
    return _unavailable(str(error))


def _unavailable(detail: str) -> Problem:
    return Problem(
        status=503,
        detail=detail,
        hint="Nothing is lost: ask again in a moment.",
        headers={"Retry-After": _RETRY_SECONDS},
    )


def of_http(error: web.HTTPException) -> Problem:
    """The problem that an error of aiohttp is: no such path, another method, a body too large."""
    match error:
        case web.HTTPNotFound():
            hint = "GET /openapi.json lists every path."
            return Problem(status=404, detail="There is nothing at this path.", hint=hint)
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{error.method} is not among the methods of this path."
            return Problem(status=405, detail=detail, hint=f"Methods: {allowed}", headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            hint = "A document may have 256 KiB. Keep larger things in files, and name the files."
            return Problem(status=413, detail="The body is too large.", hint=hint)
        case _:
            return Problem(status=error.status, detail=error.reason)


_HINTS: Mapping[str, str] = {
    "missing": "Add it.",
    "int_type": "Write a whole number, without quotes.",
    "int_parsing": "Write a whole number, without quotes.",
    "bool_type": "Write true or false, without quotes.",
    "string_type": "Write a text in quotes.",
    "list_type": "Write a list: [\u2026].",
    "dict_type": "Write an object: {\u2026}.",
    "model_type": "Write an object: {\u2026}.",
    "datetime_type": "Write it as 2026-11-22T12:00:00Z.",
    "datetime_parsing": "Write it as 2026-11-22T12:00:00Z.",
    "datetime_from_date_parsing": "Write it as 2026-11-22T12:00:00Z.",
    "datetime_object_invalid": "Write it as 2026-11-22T12:00:00Z.",
    "timezone_aware": "Write it with its offset: 2026-11-22T12:00:00Z.",
}


def of_validation(error: ValidationError, model: type[BaseModel]) -> Problem:
    """The problem with the first wrong member of a document; it says how many more there are."""
    first, *more = error.errors(include_url=False, include_context=False, include_input=False)
    place = tuple(part for part in first["loc"] if part != "[key]")
    name = place[-1] if place else "The document"
    if first["type"] == "extra_forbidden":
        detail, hint = f"There is no field {name!r}.", f"Fields: {', '.join(_fields_at(model, place[:-1]))}"
    elif first["type"] == "missing":
        detail, hint = f"{name} is missing.", "Add it."
    else:
        detail, hint = f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}.", _HINTS.get(first["type"], "")
    if more:
        detail += f" ({len(more)} more {'member is' if len(more) == 1 else 'members are'} wrong.)"
    return Problem(status=422, detail=detail, pointer=pointer_of(place), hint=hint)


def pointer_of(place: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


def _fields_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The fields of the model at a place inside another; keys of maps lead to what the map holds."""
    for part in place:
        named = model.model_fields.get(str(part))
        inner = _model_in(named.annotation) if named else None
        model = inner or model
    return [name for name in model.model_fields if not name.startswith("_")]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)
