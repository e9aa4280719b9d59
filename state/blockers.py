"""Who is in the way of a migration: seen while it waits, told when it gives up.

Afterwards nobody could say: the wait is over, and the transaction with it. So somebody else looks meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

_LOOKS_APART_SECONDS = 0.1
_CONNECT_SECONDS = 5
_JOIN_SECONDS = 10.0

_BLOCKING = """
SELECT a.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''),
       coalesce(a.state, 'state not to be seen'), extract(epoch FROM clock_timestamp() - a.xact_start)::float
  FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids(%s)) ORDER BY a.xact_start LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A session that holds what another waits for; `seconds`: how long its transaction lasts, if that is seen."""

    pid: int
    role: str
    application: str
    state: str
    seconds: float | None

    def __str__(self) -> str:
        since = "" if self.seconds is None else f" for {self.seconds:.0f} s"
        program = f", {self.application!r}" if self.application else ""
        return f"process {self.pid} (role {self.role}{program}, {self.state}{since})"


class Blockers:
    """Looks, from a session of its own, at who blocks one backend."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: Blocker | None = None
        self._over = threading.Event()

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """While inside, remember who blocks that backend."""
        looking = threading.Thread(target=self._look, args=(pid,), name="blockers", daemon=True)
        looking.start()
        try:
            yield
        finally:
            self._over.set()
            looking.join(_JOIN_SECONDS)

    def told(self) -> str:
        """What was waited for, as the end of a sentence."""
        if self._seen is None:
            return "it waited too long for a lock, whose holder was not seen"
        return f"it waited too long for a lock that {self._seen} holds"

    def remedy(self) -> str:
        """What to do about it."""
        if self._seen is None:
            return "See who holds locks: SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid)."
        return f"Let that transaction end, or end it: SELECT pg_terminate_backend({self._seen.pid})."

    def _look(self, pid: int) -> None:
        # whoever cannot look says so by an unnamed blocker: a migration does not fail of its onlooker
        with (
            suppress(psycopg.Error),
            psycopg.connect(
                self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="armillary migrate"
            ) as session,
        ):
            while not self._over.wait(_LOOKS_APART_SECONDS):
                found = session.execute(_BLOCKING, (pid,)).fetchone()
                if found is not None:
                    self._seen = Blocker(
                        pid=found[0], role=found[1], application=found[2], state=found[3], seconds=found[4]
                    )
