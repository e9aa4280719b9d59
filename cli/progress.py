"""What `up` shows while it works: on a terminal a live table of units, otherwise one plain line a change.

Times are seconds since the screen was made. It only shows; `converging` decides what there is to show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.output import console, styled

ENDED = frozenset({"ready", "done", "stopped"})
"""States in which nothing more will happen to a unit by itself."""

TROUBLED = frozenset({"failed", "held", "blind"})
"""States that a person should read about."""

_FRAMES_PER_SECOND = 8
_DETAIL_CHARACTERS = 200


@dataclass(slots=True)
class Shown:
    """A unit as it was last shown: its state and detail, when its work began, and when it ended."""

    state: str
    detail: str
    since: float | None = None
    until: float | None = None

    def elapsed(self, now: float) -> float | None:
        """Seconds that the unit's work has taken; None when it has not begun."""
        return None if self.since is None else (self.until or now) - self.since


class UnitTimes:
    """Follows units from one status to the next: what changed, and how long each has taken."""

    def __init__(self) -> None:
        self.units: dict[str, Shown] = {}

    def feed(self, units: Sequence[Mapping[str, Any]], now: float) -> list[str]:
        """Take in a status's units; the names of those about which there is news."""
        return [str(one["unit"]) for one in units if self._feed_one(one, now)]

    def _feed_one(self, unit: Mapping[str, Any], now: float) -> bool:
        state, detail = str(unit["state"]), str(unit.get("detail") or "")
        before = self.units.get(str(unit["unit"]))
        shown = before or Shown(state, detail)
        self.units[str(unit["unit"])] = shown
        if state != "waiting" and shown.since is None:
            shown.since = now
        shown.until = (shown.until or now) if state in ENDED else None
        told_anew = state in TROUBLED and detail != shown.detail  # what a unit waits for changes all the time
        is_news = before is None or state != shown.state or told_anew
        shown.state, shown.detail = state, detail
        return is_news


class Screen:
    """Where `up` speaks. Everything goes to one console; tests give their own, and their own clock."""

    def __init__(self, out: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.out = out or console()
        self._clock = clock
        self._started = clock()
        self._times = UnitTimes()
        self._live: Live | None = None

    @property
    def seconds(self) -> float:
        """Since the screen was made."""
        return self._clock() - self._started

    def say(self, sentence: str, style: str = "") -> None:
        """Print one line with the time in front."""
        self.out.print(Text.assemble((f"{self.seconds:7.1f} s  ", "bright_black"), (sentence, style)))

    def units(self, units: Sequence[Mapping[str, Any]]) -> None:
        """Show how the units are doing: the live table anew, or a line for each that changed."""
        changed = self._times.feed(units, self.seconds)
        if self._live is not None:
            self._live.update(self._table())
            return
        for name in changed:
            shown = self._times.units[name]
            self.say(" ".join(f"{name:<16}{shown.state:<13}{_short(shown.detail)}".split(" ")).rstrip())

    def say_times(self) -> None:
        """Print how long the work of each unit took, as far as it was seen."""
        seen = {name: shown.elapsed(self.seconds) for name, shown in self._times.units.items()}
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in seen.items() if seconds)
        if parts:
            self.say(f"units: {parts}", "bright_black")

    @contextmanager
    def live(self) -> Iterator[None]:
        """While inside, units are a live table, if this is a terminal; the last picture stays."""
        if not self.out.is_terminal:
            yield
            return
        with Live(self._table(), console=self.out, refresh_per_second=_FRAMES_PER_SECOND) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None
                live.update(self._table())

    def _table(self) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for title in ("", "UNIT", "STATE", "TIME"):
            made.add_column(title, no_wrap=True, justify="right" if title == "TIME" else "left")
        made.add_column("DETAIL", overflow="ellipsis", no_wrap=True)
        for name, shown in self._times.units.items():
            made.add_row(
                _mark(shown),
                name,
                styled(shown.state),
                _seconds(shown.elapsed(self.seconds)),
                Text(_short(shown.detail), style="bright_black"),
            )
        return made


def _mark(shown: Shown) -> Text | Spinner:
    if shown.state in ENDED:
        return Text("✓", style="green")
    if shown.state in TROUBLED:
        return Text("✗", style="red")
    return Text("·", style="bright_black") if shown.since is None else Spinner("dots")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _DETAIL_CHARACTERS else f"{flat[: _DETAIL_CHARACTERS - 1]}…"
