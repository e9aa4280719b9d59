"""`python -m tests.mutants`: hunt every mutant, and print the score. 1 unless all are caught."""

# ruff: noqa: T201 - it is a command

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial

from .catalogue import MUTANTS
from .hunt import Catch, hunt


def main() -> int:
    """Hunt those asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", choices=[one.name for one in MUTANTS], help="this one")
    parser.add_argument("--seeds", type=int, default=2000, help="how many lives each has to be caught in")
    parser.add_argument("--processes", type=int, default=2, help="mutants at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long each is hunted at most")
    asked = parser.parse_args()
    names = asked.only or [one.name for one in MUTANTS]
    caught = 0
    with multiprocessing.get_context("fork").Pool(asked.processes, maxtasksperchild=1) as pool:
        search = partial(hunt, seeds=asked.seeds, seconds_max=asked.seconds)
        for one in pool.imap_unordered(search, names, chunksize=1):
            caught += one.seed is not None
            print(_told(one), flush=True)
    print(f"{caught} of {len(names)} mutants caught")
    return 0 if caught == len(names) else 1


def _told(one: Catch) -> str:
    if one.seed is None:
        return f"{one.name}: SURVIVED {one.lives} lives, {one.seconds:.0f} s"
    return f"{one.name}: caught at seed {one.seed} by {one.invariant} in {one.seconds:.1f} s: {one.what[:120]}"


if __name__ == "__main__":
    raise SystemExit(main())
