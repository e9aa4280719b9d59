"""Which life showed each mutant last: lived first, so that a hunt takes seconds while nothing has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_FILE = Path(__file__).with_name("seeds.txt")
_HEAD = "# Made by `make mutants ARGS=--note`: a mutant, and the seed of the life that showed it.\n"


def known(file: Path = _FILE) -> dict[str, int]:
    """Mutant → seed, of those that were ever caught."""
    lines = (line.split() for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return {name: int(seed) for name, seed in lines}


def note(found: Mapping[str, int], file: Path = _FILE) -> None:
    """Keep what was found beside what is known of the others."""
    seeds = {**known(file), **found}
    file.write_text(_HEAD + "".join(f"{name} {seed}\n" for name, seed in sorted(seeds.items())))
