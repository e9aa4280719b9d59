"""Errors of the state store, one class a reaction, and their translation from PostgreSQL's.

SQL raises with a code of our own class (`AR…`), a sentence, a hint, the JSON pointer of the field in COLUMN and
the rule that says no in CONSTRAINT, whose name is a sentence. A driver error's details are never passed on: they
may quote values.
"""

from __future__ import annotations

import psycopg


class StateError(Exception):
    """Something the store could not do. The message is a whole sentence for people and holds no secret."""


class NotFound(StateError):
    """What was named does not exist."""

    def __init__(self, message: str, *, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.rule = rule


class GenerationConflict(StateError):
    """Somebody changed it since it was read, or it exists where it must not."""

    def __init__(self, message: str, *, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.rule = rule


class InvalidSpec(StateError):
    """What is asked for cannot be. `pointer` is the JSON pointer of the field, empty for the whole."""

    def __init__(
        self, message: str, *, pointer: str = "", detail: str = "", hint: str = "", rule: str = ""
    ) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.detail = detail
        self.hint = hint
        self.rule = rule


class Refused(StateError):
    """A guard said no. The hint says what to do, often as the exact statement."""

    def __init__(self, message: str, *, detail: str = "", hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.detail = detail
        self.hint = hint
        self.rule = rule


class Unreachable(StateError):
    """The database could not be asked, or did not answer in time. Nothing may be concluded."""


class Fenced(StateError):
    """A newer lease or a newer generation was recorded before: nothing of this write was stored."""


class SecretMissing(StateError):
    """A secret, or the key that opens it, is not there."""


class CannotPrepare(StateError):
    """The embedded server cannot be prepared."""


class SchemaMismatch(StateError):
    """The database's schema is not the one this release works with."""


_TRANSIENT = ("08", "53", "57", "58")
"""Classes of SQLSTATE that mean "not now": connection, resources, operator intervention, system."""
_WAITED_TOO_LONG = ("55P03", "57014")
_MET = ("40001", "40P01")
_NOT_THERE = ("3F000", "42P01", "42703", "42883")
_NOT_UPDATABLE = ("0A000", "55000", "428C9")
_UNIQUE = "23505"
_FORBIDDEN = "42501"


def translate(error: BaseException) -> StateError:
    """The error of ours that a psycopg error, or an SQLAlchemy one around it, means.

    By SQLSTATE, and by the constraint's name, which is a sentence. Details are left out: PostgreSQL's quote rows.
    """
    original = getattr(error, "orig", None) or error
    if not isinstance(original, psycopg.Error):
        return StateError(f"the state store failed: {type(original).__name__}")
    state = original.sqlstate or ""
    if state.startswith("AR"):
        return _ours(original, state)
    return _postgresql_s(original, state)


def _postgresql_s(error: psycopg.Error, state: str) -> StateError:
    """The errors that PostgreSQL itself raises."""
    if state == _UNIQUE:
        return GenerationConflict(
            "It was made by somebody else at the same moment.",
            hint="Read it, and repeat your change on what is there now.",
        )
    if state.startswith(("22", "23")):
        return InvalidSpec(_violated(error), pointer=_pointer(error), hint="See the column's comment: \\d+")
    if state in _MET:
        return Unreachable("two changes of the same rows met and one was undone, this one; ask again")
    if state in _WAITED_TOO_LONG:
        return Unreachable("the state store did not answer in time: somebody may hold a lock; ask again")
    if state == _FORBIDDEN or state in _NOT_UPDATABLE:
        return Refused(
            _sentence(error), hint="Ask for what the views in schema armillary allow: \\dv+ armillary.*"
        )
    if state in _NOT_THERE:
        return SchemaMismatch(f"{_sentence(error)}; the database is not migrated: run `armillary migrate`")
    if not state and isinstance(error, psycopg.DataError):
        return InvalidSpec("a text holds a character that PostgreSQL cannot store (NUL)", hint="Remove it.")
    if not state or state.startswith(_TRANSIENT):
        return Unreachable("the state database cannot be reached; see whether it runs and ask again")
    return StateError(f"the state store refused a statement ({state}): {_sentence(error)}")


def _ours(error: psycopg.Error, state: str) -> StateError:
    hint, rule = error.diag.message_hint or "", error.diag.constraint_name or ""
    match state:
        case "AR001":
            return NotFound(_sentence(error), hint=hint, rule=rule)
        case "AR002":
            return GenerationConflict(_sentence(error), hint=hint, rule=rule)
        case "AR003":
            return InvalidSpec(_sentence(error), pointer=error.diag.column_name or "", hint=hint, rule=rule)
        case "AR005":
            return Fenced(_sentence(error))
        case _:
            return Refused(_sentence(error), hint=hint, rule=rule)


def _violated(error: psycopg.Error) -> str:
    """What was violated: the schema names constraints so that their names are sentences."""
    name = error.diag.constraint_name
    return f"{name.replace('_', ' ')} (constraint {name})" if name else _sentence(error)


def _pointer(error: psycopg.Error) -> str:
    column = error.diag.column_name
    return f"/{column}" if column else ""


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__
