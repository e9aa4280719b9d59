"""Whose the fields of an object are, as the API server notes it: by apply or by update. Pure.

What is ours by update is not taken away by an apply that no longer says it, so nothing stays ours in that way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.kubernetes.body import Manifest


def owns(live: Manifest, manager: str, operation: str) -> bool:
    """Whether the manager has fields by `Apply`, or by `Update`."""
    entries = live["metadata"].get("managedFields") or ()
    return any((one["manager"], one["operation"]) == (manager, operation) for one in entries)


def owned_by_apply(live: Manifest, manager: str) -> Manifest:
    """The object with the manager's fields its own by apply alone, as if they had been applied from the first.

    Where there was no apply yet, what was its by update becomes that; else it is let go.
    """
    kept = list(_kept(live, manager, has_applied=owns(live, manager, "Apply")))
    return {**live, "metadata": {**live["metadata"], "managedFields": kept}}


def _kept(live: Manifest, manager: str, *, has_applied: bool) -> Iterator[Mapping[str, Any]]:
    for one in live["metadata"].get("managedFields") or ():
        if (one["manager"], one["operation"]) != (manager, "Update"):
            yield one
        elif not has_applied:
            has_applied = True
            yield {**one, "operation": "Apply"}
