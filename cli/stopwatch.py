"""How long each stage of a command took, for the summary at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Collects the seconds of named stages in the order in which they ended."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage; a stage entered twice adds up. A stage that fails is counted too."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - begun

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.monotonic() - self.started

    def summary(self) -> str:
        """All stages in one line: `state database 1.2 s, daemon 0.8 s; 2.1 s in all`."""
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        return f"{parts}; {self.elapsed_seconds:.1f} s in all" if parts else f"{self.elapsed_seconds:.1f} s"
