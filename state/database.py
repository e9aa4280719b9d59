"""The border to the state store: what is tried again, what is not, and which error comes of it.

Everything in `state` that asks or writes goes through `Database`; every error that leaves it is one of
`state.errors`. Waits are bounded three times: for a connection, for a lock, for a statement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg
import structlog
import tenacity

from state.errors import InvalidSpec, Unreachable, translate
from state.pool import Connection, Pool

Result = TypeVar("Result")
Work = Callable[[Connection], Awaitable[Result]]
"""What to do in one transaction. It may be done again from its beginning: its only effect is in the database."""
Parameters = Mapping[str, Any]
Rows = list[tuple[Any, ...]]

_ATTEMPTS_MAX = 4
_BACKOFF_SECONDS_FIRST = 0.1
_BACKOFF_SECONDS_MAX = 1.0
# the server is going down, coming up, or full; class 08 is the connection itself
_SEVERED_STATES = frozenset({"57P01", "57P02", "57P03", "53300"})

_log = structlog.get_logger(__name__)


class _Severed(Exception):
    """The connection failed and nothing can have been committed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Database:
    """One database through a pool of connections. Its methods raise errors of `state.errors` only."""

    pool: Pool

    async def read(self, statement: LiteralString, parameters: Parameters | None = None) -> Rows:
        """All rows of one statement that writes nothing. Raises Unreachable."""

        async def attempt() -> Rows:
            try:
                async with self.pool.connection() as connection:
                    return await (await connection.execute(statement, parameters)).fetchall()
            except psycopg.Error as error:
                raise _judged(error) from None

        return await _retried(attempt)

    async def read_value(self, statement: LiteralString, parameters: Parameters | None = None) -> Any:
        """The only value of the only row of one statement that writes nothing."""
        ((value,),) = await self.read(statement, parameters)
        return value

    async def write(self, work: Work[Result]) -> Result:
        """Do the work in one transaction; again, a few times, when the connection failed before the commit."""

        async def attempt() -> Result:
            committing = False
            try:
                async with self.pool.connection() as connection, connection.transaction():
                    result = await work(connection)
                    committing = True
            except psycopg.Error as error:
                raise _judged(error, committing=committing) from None
            return result

        return await _retried(attempt)

    async def write_value(self, statement: LiteralString, parameters: Parameters | None = None) -> Any:
        """The only value of the only row of one statement, in a transaction of its own."""

        async def work(connection: Connection) -> Any:
            ((value,),) = await (await connection.execute(statement, parameters)).fetchall()
            return value

        return await self.write(work)

    async def put_value(self, statement: LiteralString, parameters: Parameters | None = None) -> Any:
        """The same of a statement that may be carried out twice: in one round trip, and again when that fails."""
        return await self.read_value(statement, parameters)

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()


async def connect(url: str, *, application_name: str) -> Database:
    """The database at `postgresql://…`, proven by one query. Raises Unreachable."""
    _require_usable(url)
    database = Database(Pool(url, application_name))
    try:
        await database.read("SELECT 1")
    except BaseException:
        await database.close()
        raise
    return database


def reason(error: BaseException) -> str:
    """The first line of what a driver's error says, without its details: those may quote values."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


async def _retried(attempt: Callable[[], Awaitable[Result]]) -> Result:
    # what nearly always succeeds needs no machinery, which costs as much as the statement
    try:
        return await attempt()
    except _Severed as severed:
        return await _again(attempt, severed)


async def _again(attempt: Callable[[], Awaitable[Result]], first: _Severed) -> Result:
    failed = [first]

    async def next_attempt() -> Result:
        if failed:
            raise failed.pop()
        return await attempt()

    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_Severed),
        stop=tenacity.stop_after_attempt(_ATTEMPTS_MAX),
        wait=tenacity.wait_random_exponential(_BACKOFF_SECONDS_FIRST, _BACKOFF_SECONDS_MAX),
        before_sleep=_log_retry,
        reraise=True,
    )
    try:
        return await attempts(next_attempt)
    except _Severed as severed:
        raise Unreachable(
            f"the state database cannot be reached: {severed.why}; see whether it runs and ask again"
        ) from None


def _judged(error: psycopg.Error, *, committing: bool = False) -> Exception:
    """What a driver's error means: work that may be done again, or an error of ours."""
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        # the driver's own refusal, before anything was sent; its text may quote the value
        return InvalidSpec("Text cannot be stored as it is.", hint="Remove NUL characters and lone surrogates.")
    if not _is_severed(error):
        return translate(error)
    if committing:
        return Unreachable(
            f"the connection to the state database failed during a commit ({reason(error)}), so the change may or "
            f"may not be stored; look before asking for it again"
        )
    return _Severed(reason(error))


def _is_severed(error: psycopg.Error) -> bool:
    if isinstance(error, psycopg.InterfaceError):
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    state = error.sqlstate
    return state is None or state.startswith("08") or state in _SEVERED_STATES


def _require_usable(url: str) -> None:
    try:
        psycopg.conninfo.conninfo_to_dict(url)
        usable = url.startswith(("postgresql://", "postgres://"))
    except psycopg.Error:
        usable = False
    if not usable:
        # the URL itself is not repeated: it holds a password
        raise Unreachable(
            "the state database's URL cannot be used; write postgresql://user:password@host:port/database"
        )


def _log_retry(state: tenacity.RetryCallState) -> None:
    failed = state.outcome.exception() if state.outcome else None
    why = failed.why if isinstance(failed, _Severed) else ""
    _log.warning("state database asked again", attempt=state.attempt_number, why=why)
