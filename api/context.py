"""Everything that the API works with, as the composition root gives it, and where handlers find it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from api.engine import Engine
from drivers.base import Usage
from model.names import SecretRef
from state.desired import Desired
from state.tokens import Tokens

Reveal = Callable[[SecretRef], Awaitable[str]]
Logs = Callable[[str], Mapping[str, Path]]
Usages = Callable[[str], Mapping[str, Usage]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of the API.

    `reveal` opens one version of a secret: only the login is ever revealed. `logs` maps the units of a release to
    the newest log of each, `usage` to what each uses now. `clock` is the only one who knows what time it is.
    """

    desired: Desired
    tokens: Tokens
    engine: Engine
    reveal: Reveal
    logs: Logs
    usage: Usages
    clock: Callable[[], datetime] = _utc_now


CONTEXT = web.AppKey("context", Context)
"""Where an application keeps its context."""
