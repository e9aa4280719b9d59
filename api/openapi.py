"""The OpenAPI 3.1 document, made from the routes and the pydantic models: what is served is what is described."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.answers import Problem
from api.problems import MEDIA_TYPE
from api.routes import Answer, Query, Route

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_DESCRIPTION = """\
What should exist: workspaces, and Airflow deployments inside them. Writes say what should be and return at once; \
the daemon makes it so and keeps it so. The ETag is the generation; send it back as If-Match to write only what \
nobody changed meanwhile. Secrets are written and never read. Errors are problems (RFC 9457) with a JSON pointer \
and a hint."""
_CONDITIONS = (
    ("If-Match", "The ETag that was read: 412 when somebody changed it since."),
    ("If-None-Match", "Only *: 412 when it is there already."),
)


def openapi(routes: Iterable[Route]) -> Json:
    """The whole document."""
    listed = tuple(routes)
    paths: dict[str, Json] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Armillary", "version": version("armillary"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": _schemas(listed),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {"Problem": _content("A problem.", MEDIA_TYPE, _ref(Problem))},
        },
        "security": [{"bearer": []}],
    }


def _schemas(routes: Iterable[Route]) -> Json:
    models: dict[str, type[BaseModel]] = {"Problem": Problem}
    for route in routes:
        for model in (route.body, *(answer.model for answer in route.answers)):
            if model is not None:
                models[model.__name__] = model
    inputs: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (models[name], "validation") for name in sorted(models)
    ]
    _, document = models_json_schema(inputs, ref_template=_SCHEMAS + "{model}")
    found: Json = document["$defs"]
    return found


def _operation(route: Route) -> Json:
    said: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "parameters": [*_in_path(route.path), *map(_in_query, route.query), *_in_header(route)],
        "responses": {str(one.status): _response(one) for one in route.answers}
        | {"default": {"$ref": "#/components/responses/Problem"}},
    }
    if route.body is not None:
        said["requestBody"] = _body(route, route.body)
    if route.is_public:
        said["security"] = []
    return said


def _operation_id(route: Route) -> str:
    """Unique, because a method and a path are: `get_v1_workspaces_workspace`."""
    return "_".join([route.method.lower(), *re.findall(r"[a-z0-9]+", route.path)])


def _body(route: Route, model: type[BaseModel]) -> Json:
    """A PUT takes the whole document; a PATCH any part of it, with nulls, which no schema says better."""
    if route.method == "PATCH":
        schema = {"type": "object", "description": f"What changes of a {model.__name__} (RFC 7396); null removes."}
        return {"required": True, "content": {"application/merge-patch+json": {"schema": schema}}}
    return {"required": True, "content": {"application/json": {"schema": _ref(model)}}}


def _response(answer: Answer) -> Json:
    headers = {"ETag": {"schema": {"type": "string"}, "description": "The generation."}} if answer.has_etag else {}
    return _shape(answer) | ({"headers": headers} if headers else {})


def _shape(answer: Answer) -> Json:
    match answer.shape, answer.model:
        case "one", model if model is not None:
            return _content(answer.meaning, "application/json", _ref(model))
        case "list", model if model is not None:
            return _content(answer.meaning, "application/json", {"type": "array", "items": _ref(model)})
        case "map", model if model is not None:
            schema = {"type": "object", "additionalProperties": _ref(model)}
            return _content(answer.meaning, "application/json", schema)
        case "one", _:
            return _content(answer.meaning, "application/json", {"type": "object"})
        case "text", _:
            return _content(answer.meaning, "text/plain", {"type": "string"})
        case _:
            return {"description": answer.meaning or HTTPStatus(answer.status).phrase}


def _content(description: str, media_type: str, schema: Json) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _SCHEMAS + model.__name__}


def _in_path(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _in_query(query: Query) -> Json:
    schema: Json
    match query.kind:
        case "number":
            schema = {"type": "integer", "minimum": query.minimum, "maximum": query.maximum}
            schema |= {} if query.default is None else {"default": query.default}
        case "flag":
            schema = {"type": "boolean", "default": False}
        case "text":
            schema = {"type": "string"}
    is_required = query.kind == "text"
    return {
        "name": query.name,
        "in": "query",
        "required": is_required,
        "description": query.meaning,
        "schema": schema,
    }


def _in_header(route: Route) -> list[Json]:
    if not route.is_conditional:
        return []
    return [
        {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in _CONDITIONS
    ]
