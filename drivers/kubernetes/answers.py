"""What the API server's answers mean to the core: which error a status is, in a sentence for people.

The server's own sentence is told, as it names the field, without the values that it repeats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from drivers.base import Conflict, DriverError, Refused, Throttled, Unavailable

_TOLD_MAX = 500  # of the server's sentence
# a value that is a text ends at its quote; another, a whole pod at times, at the last reason at the latest
_REPEATED = re.compile(
    r"valueUnstructured\{.*|(?:Invalid|Unsupported|Duplicate) value: (?:\"(?:\\.|[^\"\\])*\"|.*(?=: )|.*)",
    re.DOTALL,
)
# server-side apply answers 500 for a manifest that it cannot read: asking again would not help
_UNREADABLE = ("failed to create typed patch object", "failed to convert new object")
_OTHER_UID = "metadata.uid: Invalid value"
_RETRY_AFTER_MAX_SECONDS = 300.0


class Gone(Unavailable):
    """The version asked for is no longer kept (410): list again."""


def error_of(status: int, body: bytes, headers: Mapping[str, str], what: str) -> DriverError:
    """The error that an answer is. `what`: what was asked, e.g. `apply Secret demo/login`."""
    told = _sentence(body)
    said = _REPEATED.sub("(a value)", told)[:_TOLD_MAX]
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(f"{what}: the cluster asks for fewer calls", retry_after_seconds=_after(headers))
        case HTTPStatus.GONE:
            return Gone(f"{what}: the version asked for is no longer kept")
        case HTTPStatus.CONFLICT:
            return Conflict(f"{what}: {said}")
        case HTTPStatus.UNPROCESSABLE_ENTITY if _OTHER_UID in told:
            return Conflict(f"{what}: another object stands in its place")
        case HTTPStatus.UNAUTHORIZED:
            return Refused(f"{what}: the cluster does not accept our credentials; make its kubeconfig anew")
        case HTTPStatus.FORBIDDEN if "because it is being terminated" in told:
            return Unavailable(f"{what}: {said}; it can be made once that is gone")
        case HTTPStatus.FORBIDDEN:
            return Refused(f"{what}: {said}; grant it, or see which rights are needed in docs/kubernetes.md")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not told.startswith(_UNREADABLE):
            return Unavailable(f"{what}: the cluster answered {status}: {said}")
        case _:
            return Refused(f"{what}: {said}")


def _sentence(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "it gave no reason"


def _after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait. Only the number form is read: the API server sends no dates."""
    try:
        seconds = float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _RETRY_AFTER_MAX_SECONDS)
