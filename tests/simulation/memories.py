"""The invariants LEDGER and ECHO: what exists is never forgotten, and what is done is not done once more.

LEDGER: an inventory row is taken away only when its object is gone, or is not ours. ECHO: a daemon that was told
that its write succeeded does not ask for it again while nobody else touched the object.
"""

from __future__ import annotations

from drivers.simulation.thing import is_there
from drivers.simulation.world import Write
from model.names import Owner, Ref
from model.plan import Action, Cause, Change
from model.status import Reason, Record

from .checkers import Checkers, Observer
from .rows import Row
from .truth import INSTALLATION, Truth
from .watched import Desk

_SEEN_SECONDS = 90.0
"""A look may be so old when its pass is recorded."""
_REMEMBERED_SECONDS = 100.0  # the register knows of a little more


class Memories(Observer):
    """Watches every record and every write of each daemon's life."""

    def __init__(self, checkers: Checkers, truth: Truth) -> None:
        self._checkers = checkers
        self._truth = truth
        self._effects: dict[tuple[str, Ref], Write] = {}

    def committed(self, before: Row | None, after: Row | None, record: Record | None) -> None:
        """A daemon records: what it struck off is gone."""
        if record is not None and after is not None:
            self._check_attempts(after)
        if record is None or before is None or (after is not None and before.inventory is after.inventory):
            return
        kept = after.inventory if after is not None else {}
        for ref in before.inventory:
            if ref not in kept and self._has_stood(ref, before.owner):
                told = f"{ref} of {before.owner} is struck off the inventory, and is there"
                self._checkers.violated("LEDGER", told)

    def wrote(self, write: Write) -> None:
        """An effect, of which the daemon may never hear."""
        self._effects[write.by, write.ref] = write

    def acknowledged(self, desk: Desk, action: Action) -> None:
        """The daemon heard that its write succeeded."""
        write = self._effects.pop((desk.name, action.ref), None)
        if not isinstance(action, Change):
            desk.done.pop(action.ref, None)
        elif write is not None:
            desk.done[action.ref] = write

    def applying(self, desk: Desk, action: Action) -> None:
        """Just before a write: is it the one that it heard of?"""
        done = desk.done.get(action.ref)
        if done is None or not isinstance(action, Change) or action.cause is Cause.RETRY:
            return
        began_anew = max(self._checkers.upheaval_at, self._truth.world_of(done.ref).reset_at + _SEEN_SECONDS)
        is_recent = self._checkers.now - done.at < _REMEMBERED_SECONDS and done.at > began_anew
        if is_recent and done.digest == action.object.digest and self._is_untouched(done):
            self._checkers.violated("ECHO", f"{action.ref} was written, heard of, untouched, and is written again")

    def _check_attempts(self, row: Row) -> None:
        """Failures are counted since the last success: the next one waits for seconds again."""
        synced = row.status.condition("Synced") if row.status is not None else None
        is_well = synced is not None and synced.status == "True" and synced.reason is Reason.CONVERGED
        if row.status is not None and is_well and row.status.attempts:
            told = f"{row.owner} is as it should be, and {row.status.attempts} failures are still counted"
            self._checkers.violated("LEDGER", told)

    def _has_stood(self, ref: Ref, owner: Owner) -> bool:
        """Whether something of the owner's stood there at every moment in which anybody could have looked."""
        world = self._truth.world_of(ref)
        since = self._checkers.now - _SEEN_SECONDS
        changes = world._register.since(since)
        past = [
            one.before if one.before and is_there(one.before, one.at) else None
            for one in changes
            if one.ref == ref
        ]
        claim = (INSTALLATION, str(owner))
        return all(one is not None and one.claim == claim for one in [world.standing(ref), *past])

    def _is_untouched(self, done: Write) -> bool:
        world = self._truth.world_of(done.ref)
        thing = world.standing(done.ref)
        if thing is None or thing.actual != thing.applied:
            return False  # a webhook may edit what is written while it is
        later = world._register.since(done.at - 1.0)
        return not any(one.ref == done.ref and one.version >= done.version for one in later)
