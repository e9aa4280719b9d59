"""Who asks: bearer tokens. Every route needs one, except those that say they do not."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from api.context import CONTEXT
from api.problems import Problem
from api.requests import ACTOR
from api.routes import route_of

_REALM = 'Bearer realm="armillary"'


@web.middleware
async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through with its actor, or raise Problem 401. Paths are not told to strangers."""
    route = route_of(request)
    if route is None or not route.is_public:
        request[ACTOR] = await _actor(request)
    return await handler(request)


async def _actor(request: web.Request) -> str:
    scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not plain.strip():
        raise _unknown(
            "There is no bearer token.",
            "Send Authorization: Bearer <token>. The first one is in the home's file token.",
        )
    token = await request.app[CONTEXT].tokens.verify(plain.strip())
    if token is None:
        raise _unknown(
            "This token is not known, was revoked, or has expired.",
            "Make a new one on the daemon's machine: armillary token create NAME",
            error=', error="invalid_token"',
        )
    return token.name


def _unknown(detail: str, hint: str, *, error: str = "") -> Problem:
    return Problem(status=401, detail=detail, hint=hint, headers={"WWW-Authenticate": _REALM + error})
