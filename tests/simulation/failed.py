"""Lives that failed once, kept as data: another way of drawing lives does not change what they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from .life import Plan

_FILE = Path(__file__).with_name("failed.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A life that violated an invariant once, and the sentence that says what was wrong then."""

    why: str
    plan: Plan


def failed_once(file: Path = _FILE) -> list[Failed]:
    """All that are kept, in the order in which they were met."""
    return [msgspec.json.decode(line, type=Failed) for line in file.read_bytes().splitlines()]


def keep(plan: Plan, why: str, file: Path = _FILE) -> None:
    """Add a life to those that are lived in every run of the tests."""
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(Failed(why=why, plan=plan)) + b"\n")
