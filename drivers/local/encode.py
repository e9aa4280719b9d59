"""Encoding: the only place where a secret's value meets a text, on its way into a file or an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.base import Reveal, Unavailable
from model.names import AddressRef, PathRef, SecretRef, Text, UnitName

_PLACES = ("settings", "credentials", "volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Values ready to be written. Never printed: `repr` shows names alone."""

    values: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


async def encode(texts: Mapping[str, Text], root: Path, places: Mapping[UnitName, str], reveal: Reveal) -> Encoded:
    """Resolve what is left of texts: secrets and paths. Raises Unavailable, and what `reveal` raises.

    `places` says in which folder of `root` a unit's files are; a unit it does not name is looked for on disk.
    """
    wanted = {part for text in texts.values() for part in text if isinstance(part, SecretRef)}
    revealed = {reference: await reveal(reference) for reference in sorted(wanted)}

    def piece(part: str | SecretRef | AddressRef | PathRef) -> str:
        match part:
            case str():
                return part
            case SecretRef():
                return revealed[part]
            case PathRef(unit=unit, inside=inside):
                return str(root / _place(root, unit, places) / inside)
            case AddressRef():
                raise AssertionError("addresses are resolved by translate")

    values = {name: "".join(piece(part) for part in text) for name, text in texts.items()}
    return Encoded(values=values, secrets=tuple(sorted(set(revealed.values()))))


def _place(root: Path, unit: UnitName, places: Mapping[UnitName, str]) -> str:
    known = places.get(unit)
    if known is not None:
        return known
    for place in _PLACES:
        if (root / place / unit).is_dir():
            return f"{place}/{unit}"
    raise Unavailable(f"the files of {unit} are not in {root} yet; they come first")
