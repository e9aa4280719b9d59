"""Faults: how rude a simulated world is. Pure numbers; the world draws from its seed.

Probabilities are per call, hint, write or start, as each says; a `Span` is a number of seconds drawn each time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Any

Span = tuple[float, float]
"""The least and the most of a number of seconds; each time something between is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, and how long things take. All zero: everything works at once, and looks show the truth."""

    # How long things take.

    latency: Span = (0.0, 0.0)
    """Spent before, in the middle of and after each call."""
    starting: Span = (0.0, 0.0)
    """How long a process needs to become healthy."""
    task: Span = (0.0, 0.0)
    """How long a task runs."""
    draining: Span = (0.0, 0.0)
    """How long what was stopped still runs."""
    lingering: Span = (0.0, 0.0)
    """How long what was deleted stays."""

    # Calls that fail. Each is a probability per call.

    unavailable_before: float = 0.0
    """500 or 503: the call fails and nothing happened."""
    unavailable_after: float = 0.0
    """A reset: the write fails and all of it happened."""
    lost_answers: float = 0.0
    """The write happened and nobody answers, until the caller loses patience."""
    hangs: float = 0.0
    """One call finds a black hole: nothing happens and nobody answers."""
    slow: float = 0.0
    """One call is slow."""
    slowness: Span = (0.0, 0.0)
    """How slow a slow call is."""
    throttled: float = 0.0
    """429: nothing happened, and fewer calls are asked for."""
    retry_after: Span = (0.0, 0.0)
    """How long a 429 asks to wait; at most 0: it does not say."""
    conflicts: float = 0.0
    """409: the write is told that somebody was faster, and nothing happened."""
    refusals: float = 0.0
    """422: the write is refused this time, and nothing happened."""

    # Spells: conditions that begin at some call and last.

    down: float = 0.0
    """Nobody is reached for a while."""
    black_holes: float = 0.0
    """Whoever calls hears nothing for a while."""
    forbidden: float = 0.0
    """403 on one kind, to see and to write, for a while."""
    quota: float = 0.0
    """Nothing new may be made for a while."""
    spell: Span = (0.0, 0.0)
    """How long such a spell lasts."""

    # Looks that lie.

    blind: float = 0.0
    """A look's list of one kind breaks (a part of it, or 410): the look says that it does not see that kind."""
    lag: Span = (0.0, 0.0)
    """How far the cache is behind, kind by kind; at most 0: looks are at the world itself."""
    time_travel: float = 0.0
    """A look is answered from a cache that is older than the one shown before."""

    # Things that misbehave.

    task_failures: int = 0
    """How often each task fails before it ends well."""
    crash_loops: float = 0.0
    """A process that was started crashes again and again for a while."""
    crashing: Span = (0.0, 0.0)
    """How long it does."""
    finalizers: float = 0.0
    """A deletion is held up by somebody's finalizer."""
    finalizing: Span = (0.0, 0.0)
    """How long it is."""

    # Hints. Each is a probability per hint.

    lost_hints: float = 0.0
    """It never comes."""
    repeated_hints: float = 0.0
    """It comes twice."""
    late_hints: float = 0.0
    """It comes late, after newer ones."""
    lateness: Span = (0.0, 0.0)
    """How late."""
    merged_hints: float = 0.0
    """It is not told, because another of that owner's is still on its way."""
    reordered_hints: float = 0.0
    """Those that come together come in another order."""
    past_hints: float = 0.0
    """One that was told before comes again."""
    ghost_hints: float = 0.0
    """One comes of an owner that never was."""
    silences: float = 0.0
    """From here on nothing is told for a while."""
    silence: Span = (0.0, 0.0)
    """How long nothing is told."""
    watch: Span = (0.0, 0.0)
    """How long a watch lasts until it is interrupted (410, a closed connection); at most 0: for ever."""

    # Others' hands: how often somebody strikes, and the weight that each deed has then.

    strikes: Span = (0.0, 0.0)
    """The time between two deeds of a roaming vandal; at most 0: there is none."""
    meddling: Span = (0.0, 0.0)
    """How long a webhook or another controller goes on."""
    edits: float = 0.0
    """A thing is changed."""
    removals: float = 0.0
    """A thing is gone; one that holds data never is."""
    kills: float = 0.0
    """What runs is ended."""
    recreations: float = 0.0
    """A thing is made again under its name, with our mark and another uid."""
    copies: float = 0.0
    """Our mark is copied onto something of theirs."""
    webhooks: float = 0.0
    """A mutating webhook rewrites one of our things after each write for a while."""
    flappers: float = 0.0
    """Another controller flaps a field of ours ten times a second for a while."""
    relabels: float = 0.0
    """A thing is given somebody else's mark: only a person can mend that (`Vandal.repent`)."""
    strangers: float = 0.0
    """Something of somebody else's takes the place of ours: only a person can mend that (`Vandal.repent`)."""
    wipes: float = 0.0
    """The cluster is made again, empty; data is elsewhere and stays."""
    restores: float = 0.0
    """The cluster is restored to how it was up to two minutes ago; data is elsewhere and stays."""

    @property
    def is_cached(self) -> bool:
        """Whether looks are answered from a cache."""
        return self.lag[1] > 0 or self.time_travel > 0


POLITE = Faults()
"""A world in which everything works at once."""

RUDE = Faults(
    unavailable_before=0.1,
    unavailable_after=0.1,
    blind=0.05,
    latency=(0.0, 2.0),
    lingering=(0.0, 30.0),
    draining=(0.0, 20.0),
    starting=(0.0, 60.0),
    task=(1.0, 40.0),
    task_failures=2,
    lost_hints=0.5,
    repeated_hints=0.3,
)
"""Ruder than reality: all of it often, though never for ever."""

TERRIBLE = Faults(
    latency=(0.0, 2.0),
    starting=(0.0, 60.0),
    task=(1.0, 40.0),
    draining=(0.0, 30.0),
    lingering=(0.0, 30.0),
    unavailable_before=0.15,
    unavailable_after=0.15,
    lost_answers=0.03,
    hangs=0.02,
    slow=0.1,
    slowness=(2.0, 20.0),
    throttled=0.1,
    retry_after=(0.0, 10.0),
    conflicts=0.1,
    refusals=0.1,
    down=0.01,
    black_holes=0.005,
    forbidden=0.02,
    quota=0.03,
    spell=(5.0, 60.0),
    blind=0.1,
    lag=(0.0, 30.0),
    time_travel=0.1,
    task_failures=3,
    crash_loops=0.3,
    crashing=(5.0, 120.0),
    finalizers=1.0,
    finalizing=(30.0, 600.0),
    lost_hints=0.5,
    repeated_hints=0.3,
    late_hints=0.3,
    lateness=(0.1, 60.0),
    merged_hints=0.5,
    reordered_hints=0.5,
    past_hints=0.2,
    ghost_hints=0.1,
    silences=0.02,
    silence=(10.0, 120.0),
    watch=(5.0, 60.0),
    strikes=(2.0, 30.0),
    meddling=(5.0, 40.0),
    edits=8.0,
    removals=6.0,
    kills=6.0,
    recreations=3.0,
    copies=1.0,
    webhooks=2.0,
    flappers=1.0,
    relabels=0.5,
    strangers=0.5,
    wipes=0.3,
    restores=0.5,
)
"""The most of each fault that `drawn` draws."""

_CLASSES: tuple[tuple[str, ...], ...] = (
    ("unavailable_before",),
    ("unavailable_after",),
    ("lost_answers", "hangs"),
    ("slow", "slowness"),
    ("throttled", "retry_after"),
    ("conflicts",),
    ("refusals", "quota"),
    ("down",),
    ("black_holes",),
    ("forbidden",),
    ("blind",),
    ("lag",),
    ("lag", "time_travel"),
    ("task_failures",),
    ("crash_loops", "crashing"),
    ("finalizers", "finalizing"),
    ("lost_hints", "merged_hints", "silences", "silence"),
    ("repeated_hints", "past_hints", "ghost_hints"),
    ("late_hints", "lateness", "reordered_hints"),
    ("watch",),
    ("edits",),
    ("removals",),
    ("kills",),
    ("recreations",),
    ("copies",),
    ("webhooks",),
    ("flappers",),
    ("relabels",),
    ("strangers",),
    ("wipes",),
    ("restores",),
)
_ALWAYS = ("latency", "starting", "task", "draining", "lingering", "spell", "meddling")
_SHARES = (0.0, 0.1, 0.1, 0.2, 0.2, 0.4, 0.9)
"""Of how many classes a life meets, from calm to terrible."""


def drawn(random: Random) -> Faults:
    """A mix of faults: many lives meet a few classes, some none, some nearly all, each more or less often."""
    share = random.choice(_SHARES)
    chosen = set(_ALWAYS)
    for names in _CLASSES:
        if random.random() < share:
            chosen.update(names)
    numbers: dict[str, Any] = {
        one.name: _less(getattr(TERRIBLE, one.name), random) for one in fields(Faults) if one.name in chosen
    }
    least, most = TERRIBLE.strikes  # here little is much
    numbers["strikes"] = (least, most / random.uniform(0.1, 1.0))
    return Faults(**numbers)


def _less(most: float | Span, random: Random) -> float | Span:
    """Some of it, rather little than much. How often a task fails stays a whole number."""
    if isinstance(most, tuple):
        return (most[0], most[0] + (most[1] - most[0]) * random.random())
    return random.randint(1, most) if isinstance(most, int) else most * random.random() ** 1.5
