"""`python -m tests.mutants`: hunt every mutant, and print the score. 1 unless all are caught."""

# ruff: noqa: T201 - it is a command

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial

from .catalogue import MUTANTS
from .hunt import Catch, hunt
from .known import note


def main() -> int:
    """Hunt those asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", choices=[one.name for one in MUTANTS], help="this one")
    parser.add_argument("--seeds", type=int, default=2000, help="how many lives each has to be caught in")
    parser.add_argument("--processes", type=int, default=2, help="mutants at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long each is hunted at most")
    parser.add_argument("--note", action="store_true", help="live the lives that showed them first from now on")
    asked = parser.parse_args()
    names = asked.only or [one.name for one in MUTANTS]
    caught: dict[str, int] = {}
    print(f"{'mutant':<40} {'caught by':<9} {'seed':>6} {'lives':>5} {'seconds':>7}")
    with multiprocessing.get_context("fork").Pool(asked.processes, maxtasksperchild=1) as pool:
        search = partial(hunt, seeds=asked.seeds, seconds_max=asked.seconds)
        for one in pool.imap_unordered(search, names, chunksize=1):
            if one.seed is not None:
                caught[one.name] = one.seed
            print(_told(one), flush=True)
    if asked.note:
        note(caught)
    print(f"{len(caught)} of {len(names)} mutants caught")
    return 0 if len(caught) == len(names) else 1


def _told(one: Catch) -> str:
    by, seed = (one.invariant, str(one.seed)) if one.seed is not None else ("SURVIVED", "")
    return f"{one.name:<40} {by:<9} {seed:>6} {one.lives:>5} {one.seconds:>7.1f}  {one.what[:100]}".rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
