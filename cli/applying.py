"""Applying a manifest through the API: PUT each item, and say of each what became of it.

What changed is found by comparing the documents before and after: it is what the API says, not what we hoped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cli.client import Client
from cli.errors import NotFound
from cli.manifest import Item

Result = Literal["created", "changed", "unchanged"]

READ_ONLY = frozenset(
    {
        "id",
        "release",
        "generation",
        "created_at",
        "deletion_requested_at",
        "delete_after",
        "retain_until",
        "stage",
    }
)
"""What the API says about a thing and nobody asks for: left out of what is sent and compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place in a document that changed; both values are as the API shows them (secrets masked)."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one item."""

    kind: str
    name: str
    result: Result
    differences: tuple[Difference, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """For tables, JSON and YAML."""
        return {
            "result": self.result,
            "kind": self.kind,
            "name": self.name,
            "differences": [str(one) for one in self.differences],
        }


async def apply(api: Client, items: Iterable[Item]) -> tuple[Change, ...]:
    """PUT every item in order. The first refusal is raised; what was put before it stays."""
    return tuple([await _apply_one(api, item) for item in items])


async def _apply_one(api: Client, item: Item) -> Change:
    try:
        before = await api.get(item.path)
    except NotFound:
        before = None
    asked = {key: value for key, value in item.document.items() if key not in READ_ONLY}
    answer = await api.put(item.path, asked)
    after = answer.data
    if before is None or answer.is_new:
        return Change(kind=item.kind, name=item.name, result="created")
    differences = tuple(differences_of(_compared(before), _compared(after)))
    moved = before.get("generation") != after.get("generation")  # a new secret value differs in nothing shown
    result: Result = "changed" if differences or moved else "unchanged"
    return Change(kind=item.kind, name=item.name, result=result, differences=differences)


def _compared(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in READ_ONLY}


def differences_of(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Where two JSON values differ, leaf by leaf, in the order of their keys."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}, key=str):
            inside = f"{path}.{key}" if path else str(key)
            yield from differences_of(before.get(key), after.get(key), inside)
    elif before != after:
        yield Difference(path=path, before=before, after=after)


def summary(changes: Iterable[Change]) -> str:
    """One sentence: `1 created, 0 changed, 2 unchanged`."""
    counted = Counter(change.result for change in changes)
    return ", ".join(f"{counted[one]} {one}" for one in ("created", "changed", "unchanged"))


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case {"secret": True, "version": version}:
            return f"secret, version {version}"
        case {"value": text}:
            return repr(text)
        case _:
            return str(value)
