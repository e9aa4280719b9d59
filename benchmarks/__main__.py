"""`python -m benchmarks [NAME …]`: run benchmarks and keep what they measured, with the machine's floor beside it.

Each result is printed as JSON and written to `benchmarks/results/<name>.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.adoption import adoption
from benchmarks.first_light import first_light
from benchmarks.floor import floor
from benchmarks.kubernetes import kubernetes
from benchmarks.sql import sql

RESULTS = Path(__file__).parent / "results"
BENCHMARKS: dict[str, Callable[[], dict[str, object]]] = {
    "first_light": first_light,
    "adoption": adoption,
    "sql": sql,
    "kubernetes": kubernetes,
}


def main() -> int:
    """Run what is named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - BENCHMARKS.keys()):
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        result = {
            "benchmark": name,
            "armillary": version("armillary"),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "floor": floor(),
            **BENCHMARKS[name](),
        }
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        (RESULTS / f"{name}.json").write_text(text)
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
