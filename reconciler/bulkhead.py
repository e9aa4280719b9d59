"""A bulkhead around one driver: what its cluster does wrong stays its cluster's.

A driver like any other to whoever calls it. In between stand time limits, turns (few calls at once, a rate of
writes, both adapting to the cluster), and a circuit that opens when nobody answers: then calls fail at once, and
one probe after another looks whether the cluster is back. Whatever else a driver can do (logs, say) is on `inner`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from drivers.base import Applied, Conflict, Driver, Refused, Throttled, Unavailable
from model.names import Owner, Ref
from model.objects import Object, Observed, Site
from model.plan import Action
from model.units import AnyUnit
from reconciler import clock, pace
from reconciler.breaker import BreakerLimits
from reconciler.circuit import Circuit, called
from reconciler.limits import Limits
from reconciler.pace import PaceLimits, Timing
from reconciler.recall import Recall
from reconciler.turns import TurnLimits, Turns

Result = TypeVar("Result")


class NotLeading(Unavailable):
    """The right to write ended before the write was sent. It says nothing about the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadLimits:
    """Every number of a bulkhead; each part gives its units and reasons."""

    pace: PaceLimits = field(default_factory=PaceLimits)
    turns: TurnLimits = field(default_factory=TurnLimits)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadState:
    """A bulkhead as metrics and alerts show it.

    `since`: when the first call that nobody answered failed, in seconds of the loop's clock, and `why`, a
    sentence; None and empty while the circuit is closed. `calls_now` of at most `calls_limit` are in flight (a
    probe is not counted); `rate` is how many writes a second are let through.
    """

    is_open: bool
    since: float | None
    why: str
    calls_now: int
    calls_limit: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One sort of call, and how long it may take."""

    name: str
    seconds_max: float
    is_write: bool = False


class Bulkhead:
    """The driver `inner`, kept from harming others, and from being harmed.

    `may_write` is asked immediately before a write is sent: False when this daemon leads no longer. `clock` says
    when an outage began, for people.
    """

    def __init__(
        self,
        inner: Driver,
        *,
        limits: BulkheadLimits | None = None,
        seconds: Limits | None = None,
        may_write: Callable[[], bool] = lambda: True,
        random: Random | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.inner = inner
        self.cluster = inner.cluster
        self.kinds = inner.kinds
        self.units = inner.units
        limits = limits or BulkheadLimits()
        seconds = seconds or Limits()
        self._name = called(inner.cluster)
        self._may_write = may_write
        self._pace_limits = limits.pace
        self._observe = _Call(name="observe", seconds_max=seconds.observe_seconds_max)
        self._observe_fresh = _Call(name="observe fresh", seconds_max=seconds.observe_seconds_max)
        self._owners = _Call(name="owners", seconds_max=seconds.observe_seconds_max)
        self._apply = _Call(name="apply", seconds_max=seconds.apply_seconds_max, is_write=True)
        self._turns = Turns(self._name, pace.full(limits.pace), limits.turns)
        self._recall = Recall()
        self._in_flight: dict[asyncio.Timeout, None] = {}  # a set that keeps its order
        self._circuit = Circuit(
            inner.cluster,
            self._probe,
            on_open=self._give_up,
            on_close=self._answers_again,
            probe_seconds_max=seconds.observe_seconds_max,
            limits=limits.breaker,
            random=random or Random(),  # noqa: S311 - jitter
            clock=clock,
        )

    async def open(self) -> None:
        """Open the driver. Raises Unavailable."""
        await self.inner.open()

    async def close(self) -> None:
        """Stop probing, and close the driver."""
        await self._circuit.stop()
        await self.inner.close()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The driver's objects of a unit. Raises Refused for what cannot be."""
        return self.inner.translate(unit, site)

    async def observe(self, owner: Owner, wanted: frozenset[Ref], *, fresh: bool = False) -> Observed:
        """What the driver sees. Raises Unavailable, at once while the circuit is open."""
        call = self._observe_fresh if fresh else self._observe
        return await self._ask(call, lambda: self.inner.observe(owner, wanted, fresh=fresh), self._is_evidence)

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action, if this daemon may still write. Raises Unavailable, Refused, Conflict."""

        def send() -> Awaitable[Applied]:
            if not self._may_write():
                raise NotLeading(
                    f"this daemon no longer leads {self._name}, so it wrote nothing; the daemon that leads does"
                )
            return self.inner.apply(owner, action)

        return await self._ask(self._apply, send)

    async def owners(self) -> frozenset[Owner]:
        """Everybody of whom anything exists. Raises Unavailable, at once while the circuit is open."""
        return await self._ask(self._owners, self.inner.owners)

    def watch(self) -> AsyncIterator[Owner]:
        """The driver's hints, and every owner once after an outage, so that whoever was blind is looked at."""
        return self._recall.merged_with(self.inner.watch())

    def state(self) -> BulkheadState:
        """How this bulkhead stands now."""
        return BulkheadState(
            is_open=self._circuit.since is not None,
            since=self._circuit.since,
            why=self._circuit.why,
            calls_now=self._turns.calls_now,
            calls_limit=self._turns.pace.calls_limit,
            rate=self._turns.pace.rate,
        )

    def _give_up(self, why: str) -> None:
        """Nobody answers: whoever waits for a turn or an answer waits no longer."""
        self._turns.send_away(why)
        for limit in self._in_flight:
            if not limit.expired():
                limit.reschedule(clock.now())

    def _answers_again(self, owners: frozenset[Owner]) -> None:
        """Look at everybody, carefully."""
        self._turns.pace = pace.careful(self._turns.pace)
        self._recall.call(sorted(owners))

    async def _ask(
        self,
        call: _Call,
        send: Callable[[], Awaitable[Result]],
        is_evidence: Callable[[Result], bool] = lambda _: True,
    ) -> Result:
        """Wait for a turn, send, and learn from how it ended. Cancelled from outside: nothing is learned."""
        self._circuit.check()
        async with self._turns.take(is_write=call.is_write):
            self._circuit.check()
            era, began_at = self._circuit.era, clock.now()
            with self._learning_from_errors(call, era, began_at):
                result = await self._limited(call, send)
            if is_evidence(result):
                self._circuit.answered(era)
                timing = Timing(call=call.name, began_at=began_at, ended_at=clock.now(), is_write=call.is_write)
                self._turns.pace = pace.answered(self._turns.pace, timing, self._pace_limits)
            return result

    async def _limited(self, call: _Call, send: Callable[[], Awaitable[Result]]) -> Result:
        async with asyncio.timeout(call.seconds_max) as limit:
            self._in_flight[limit] = None
            try:
                return await send()
            finally:
                del self._in_flight[limit]

    @contextmanager
    def _learning_from_errors(self, call: _Call, era: int, began_at: float) -> Iterator[None]:
        try:
            yield
        except NotLeading:
            raise
        except Throttled as error:
            self._circuit.answered(era)
            self._slow_down(error, began_at)
            raise
        except (Refused, Conflict):
            self._circuit.answered(era)
            raise
        except Unavailable as error:
            self._circuit.failed(era, str(error))
            raise
        except TimeoutError as error:
            why = f"{self._name} did not answer in time ({call.name}, {call.seconds_max:g} s at most)"
            self._circuit.failed(era, why)
            self._turns.pace = pace.unanswered(self._turns.pace, began_at, clock.now(), self._pace_limits)
            raise Unavailable(why) from error

    def _slow_down(self, error: Throttled, began_at: float) -> None:
        pause = error.retry_after_seconds
        self._turns.pace = pace.throttled(self._turns.pace, began_at, clock.now(), pause, self._pace_limits)

    async def _probe(self) -> frozenset[Owner]:
        """Ask beside all turns: those may be held by calls that hang."""
        began_at = clock.now()
        try:
            return await self.inner.owners()
        except Throttled as error:
            self._slow_down(error, began_at)
            raise

    def _is_evidence(self, observed: Observed) -> bool:
        """False for a look at a cache, and for one that saw nothing: neither says that the cluster answers."""
        return not observed.as_of and not self.kinds <= observed.blind.keys()


def name_of(driver: Driver) -> str:
    """What people call a driver: its class, whatever wraps it, and its cluster."""
    inner = driver.inner if isinstance(driver, Bulkhead) else driver
    return f"{type(inner).__name__} {driver.cluster}".rstrip()
