"""What the API server's answers mean to the core: which error a status is, in a sentence for people.

The server's own sentence is told, as it names the field; it never repeats what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from drivers.base import Conflict, DriverError, Refused, Throttled, Unavailable

_TOLD_MAX = 500  # of the server's sentence
_RETRY_AFTER_MAX_SECONDS = 300.0


class Gone(Unavailable):
    """The version asked for is no longer kept (410): list again."""


def error_of(status: int, body: bytes, headers: Mapping[str, str], what: str) -> DriverError:
    """The error that an answer is. `what`: what was asked, e.g. `apply Secret demo/login`."""
    said = _said(body)
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(f"{what}: the cluster asks for fewer calls", retry_after_seconds=_after(headers))
        case HTTPStatus.GONE:
            return Gone(f"{what}: the version asked for is no longer kept")
        case HTTPStatus.CONFLICT:
            return Conflict(f"{what}: {said}")
        case HTTPStatus.UNAUTHORIZED:
            return Refused(f"{what}: the cluster does not accept our credentials; make its kubeconfig anew")
        case HTTPStatus.FORBIDDEN:
            return Refused(f"{what}: {said}; grant it, or see which rights are needed in docs/kubernetes.md")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unavailable(f"{what}: the cluster answered {status}: {said}")
        case _:
            return Refused(f"{what}: {said}")


def _said(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
        return str(found["message"])[:_TOLD_MAX]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "it gave no reason"


def _after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait. Only the number form is read: the API server sends no dates."""
    try:
        return min(max(float(headers["Retry-After"]), 0.0), _RETRY_AFTER_MAX_SECONDS)
    except (KeyError, ValueError):
        return None
