"""`python -m tests.simulation`: lives in several processes; what failed is shrunk, and told with its replay."""

# ruff: noqa: T201 - it is a command

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator

from .failed import keep
from .life import Report, drawn, live, run
from .reference import excess
from .shrink import shrink, told

_SHRUNK_MAX = 5
_GARBAGE_EACH = 20
_REFERENCE_EACH = 8  # a reference is a life more


class Faults:
    """How often each class of fault was injected, and in how many lives."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.lives: Counter[str] = Counter()

    def add(self, report: Report) -> None:
        """Those of one more life."""
        times = Counter[str]()
        for what, count in report.injected.items():
            times["forbidden" if what.startswith("forbidden ") else what] += count
        self.times += times
        self.lives.update(times.keys())


def main() -> int:
    """Run the lives asked for. 1 when an invariant did not hold."""
    asked = _arguments()
    if asked.seed is not None and asked.keep:
        keep(drawn(asked.seed), asked.keep)
    if asked.seed is not None:
        return _one(asked.seed, is_shrunk=not asked.no_shrink)
    first = asked.first if asked.first is not None else time.time_ns() % 10**9
    seeds = range(first, first + asked.seeds)
    print(f"lives {first} to {seeds[-1]} in {asked.processes} processes")
    began, faults, counts, failed = time.monotonic(), Faults(), Counter[str](), list[Report]()
    for number, report in enumerate(_reports(seeds, asked.processes), 1):
        faults.add(report)
        counts += report.counts
        if report.violations:
            failed.append(report)
            print(f"\nseed {report.seed}: {report.violations[0]}\n  replay: make simulate SEED={report.seed}")
        if number % 50 == 0 or number == len(seeds):
            _progress(number, len(seeds), len(failed), time.monotonic() - began)
    _summary(faults, counts, failed, len(seeds), time.monotonic() - began)
    if not asked.no_shrink:
        for report in failed[:_SHRUNK_MAX]:
            _tell_shrunk(report)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many lives")
    parser.add_argument("--from", dest="first", type=int, help="the first seed; without it, from the clock")
    parser.add_argument("--seed", type=int, help="one life, told in detail")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="lives at once")
    parser.add_argument("--keep", metavar="WHY", help="with --seed: live it in every run of the tests from now on")
    parser.add_argument("--no-shrink", action="store_true", help="do not shrink what fails")
    return parser.parse_args()


def _reports(seeds: range, processes: int) -> Iterator[Report]:
    if processes == 1:
        yield from map(_live, seeds)
        return
    gc.collect()
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_live, seeds, chunksize=4)


def _live(seed: int) -> Report:
    """One life of many: garbage is collected now and then, and never in the middle of a life."""
    gc.disable()
    plan = drawn(seed)
    report = live(plan)
    if seed % _REFERENCE_EACH == 0 and not report.violations:
        report.violations += excess(plan, report)
    if seed % _GARBAGE_EACH == 0:
        gc.collect()
    return report


def _progress(number: int, of: int, failed: int, seconds: float) -> None:
    print(f"{number} of {of} lives, {failed} failed, {number / seconds:.1f} lives/s", flush=True)


def _summary(faults: Faults, counts: Counter[str], failed: list[Report], of: int, seconds: float) -> None:
    print(f"\n{of} lives in {seconds:.0f} s ({of / seconds:.1f} lives/s): {len(failed)} violate an invariant")
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print("faults injected, and in how many of the lives:")
    for what, count in sorted(faults.times.items()):
        print(f"  {count:>9} {100 * faults.lives[what] / of:>5.1f} %  {what}")
    kinds = Counter(one.violations[0].invariant for one in failed)
    for invariant, count in kinds.most_common():
        seeds = [str(one.seed) for one in failed if one.violations[0].invariant == invariant]
        print(f"  {invariant}: {count} lives, seeds {' '.join(seeds[:12])}")


def _one(seed: int, *, is_shrunk: bool) -> int:
    report = run(seed)
    for line in report.history:
        print(line[:400])
    print(
        f"virtual {report.seconds:.0f} s, converged {report.converged_after:.0f} s after healing;",
        dict(report.counts),
    )
    if report.violations and is_shrunk:
        _tell_shrunk(report)
    for one in report.violations:
        print(one)
    return 1 if report.violations else 0


def _tell_shrunk(report: Report) -> None:
    plan, smaller = shrink(drawn(report.seed), live(drawn(report.seed)))
    print(f"\nseed {report.seed}, shrunk: {smaller.violations[0]}")
    for line in told(plan):
        print(f"  {line}")
    print("  the last steps:")
    for line in smaller.history:
        print(f"  {line[:300]}")
    print(f"  replay: make simulate SEED={report.seed}")


if __name__ == "__main__":
    raise SystemExit(main())
