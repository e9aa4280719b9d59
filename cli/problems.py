"""Problems of the API (RFC 9457) as sentences and exit codes. Pure: what an answer means to who asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cli.errors import CommandError, Failed, NotFound, NotPermitted, Refused, TimedOut, Unreachable

_CLASSES: Mapping[int, type[CommandError]] = {
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    408: TimedOut,
    409: Refused,
    412: Refused,
    422: Refused,
    423: Refused,
    428: Refused,
    429: Unreachable,
    502: Unreachable,
    503: Unreachable,
    504: TimedOut,
}

_NEXT: Mapping[int, str] = {
    401: "Set ARMILLARY_TOKEN, or make a new token on the daemon's machine: armillary token create NAME",
    412: "Somebody changed it since it was read: read it again, and repeat the change if it is still wanted.",
    503: "The daemon is there but cannot work now: armillary status says why.",
}

_BODY_CHARACTERS_SHOWN = 200  # enough of a stranger's error page to recognise it


def problem_of(status: int, body: str) -> Mapping[str, Any]:
    """The problem document in a body; an answer that is none becomes one, so that nothing is hidden."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    shown = " ".join(body.split())[:_BODY_CHARACTERS_SHOWN]
    return {"status": status, "title": f"HTTP {status}", "detail": shown}


def error_of(method: str, url: str, status: int, body: str) -> CommandError:
    """The error that such an answer is: its sentences and, by its class, its exit code."""
    problem = problem_of(status, body)
    title, detail = str(problem.get("title") or ""), str(problem.get("detail") or "")
    what = detail if detail and title in {"", detail} else ": ".join(one for one in (title, detail) if one)
    pointer = problem.get("pointer")
    where = f"at {pointer} in the document sent" if pointer else f"{method} {url}"
    todo = str(problem.get("hint") or _NEXT.get(status, ""))
    return _CLASSES.get(status, Failed)(what or f"HTTP {status}", where=where, todo=todo)
