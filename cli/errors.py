"""What a command can fail with: one class per reaction, each with the exit code that scripts can rely on.

The codes are part of the product's face (`armillary --help` lists them); they never change their meaning.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    TIMED_OUT = 6
    NOT_PERMITTED = 7
    INTERRUPTED = 130


EXIT_CODES_TEXT = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused or in conflict, 5 unreachable, "
    "6 timed out, 7 not permitted, 130 interrupted."
)


class CommandError(Exception):
    """Something a person must read: what was wrong, where it was, and what to do next.

    `lines` is evidence (the end of a log), shown as it is below the sentences. None of it holds a secret.
    """

    code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str = "", todo: str = "", lines: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo
        self.lines = lines

    def sentences(self) -> tuple[str, ...]:
        """The message as it is shown, one part a line; empty parts are left out."""
        return tuple(one for one in (self.what, self.where, self.todo) if one)


class Failed(CommandError):
    """It was tried and did not work."""


class Misused(CommandError):
    """The command was called in a way that cannot be carried out."""

    code = ExitCode.USAGE


class NotFound(CommandError):
    """What was named does not exist."""

    code = ExitCode.NOT_FOUND


class Refused(CommandError):
    """A rule, a guard, or somebody else's newer change says no."""

    code = ExitCode.REFUSED


class Unreachable(CommandError):
    """The other side did not answer. Nothing may be concluded about the world."""

    code = ExitCode.UNREACHABLE


class TimedOut(CommandError):
    """It was waited for as long as allowed. It may still happen."""

    code = ExitCode.TIMED_OUT


class NotPermitted(CommandError):
    """The token is missing, unknown, or not allowed to do this."""

    code = ExitCode.NOT_PERMITTED
