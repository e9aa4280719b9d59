"""The conclusion of a pass that could not be made: its spec cannot be carried out, or the pass broke. Pure."""

from __future__ import annotations

from model.spec import Snapshot
from model.status import Conclusion, Condition, Done, Event, Reason, Record, Status


def refused(before: Snapshot, why: str, *, epoch: int, reason: Reason = Reason.INVALID_SPEC) -> Conclusion:
    """Nothing is touched; the conditions say why, once; a new generation is looked at afresh."""
    old = before.status
    conditions = tuple(
        Condition(
            type=kind,
            status="False" if kind == "Synced" else "Unknown",
            reason=reason,
            message=why,
            since=before.now,
        )
        for kind in ("Synced", "Ready")
    )
    already = old is not None and all(
        (was := old.condition(one.type)) is not None and (was.reason, was.message) == (one.reason, why)
        for one in conditions
    )
    if already and old is not None and old.observed_generation == before.generation:
        return Conclusion(record=Record(owner=before.owner, epoch=epoch), verdict=Done())
    return Conclusion(
        record=Record(
            owner=before.owner,
            epoch=epoch,
            status=Status(observed_generation=before.generation, conditions=conditions),
            events=(Event(reason=str(reason), message=why),),
        ),
        verdict=Done(),
    )
