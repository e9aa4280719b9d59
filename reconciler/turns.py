"""Whose turn it is to call one cluster: first come, first served, within the pace.

A call takes one of a few places; a write also spends a token of a bucket that fills with the pace's rate. A write
without a token lets reads behind it go first, and is itself never overtaken by a later write. Waiting is bounded,
in time and in number. Time is the running event loop's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from drivers.base import Throttled, Unavailable
from reconciler import clock
from reconciler.pace import Pace

_SLACK_SECONDS = 0.001  # event loops round: a timer may run that much early, and must find its moment come
_SLACK_TOKENS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """How many may wait, how long, and how much may be saved up.

    `wait_seconds_max` (s): a worker that waits longer serves nobody; its pass comes back later. `waiting_max`
    (calls): many times the workers of a daemon, so that reaching it is a fault, and still a bound. `burst`
    (writes): one pass's writes never wait in a quiet cluster.
    """

    wait_seconds_max: float = 10.0
    waiting_max: int = 1000
    burst: int = 30


@dataclass(slots=True, eq=False)
class _Waiter:
    """One call that waits. Its future becomes why it may not go; empty: it may, and a place is taken for it."""

    future: asyncio.Future[str]
    is_write: bool


class Turns:
    """The places, the bucket and the queue of one cluster. `name` is how its errors call the cluster."""

    def __init__(self, name: str, pace: Pace, limits: TurnLimits) -> None:
        self._name = name
        self._pace = pace
        self._limits = limits
        self._waiting: deque[_Waiter] = deque()
        self._tokens = float(limits.burst)
        self._filled_at = float("-inf")
        self._alarm: asyncio.TimerHandle | None = None
        self.calls_now = 0

    @property
    def pace(self) -> Pace:
        """The pace that turns are given at; a new one holds at once."""
        return self._pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        if pace is self._pace:
            return
        self._fill(clock.now())  # the old rate held until now
        self._pace = pace
        self._serve()

    @asynccontextmanager
    async def take(self, *, is_write: bool = False) -> AsyncIterator[None]:
        """A turn, for as long as the block runs. Raises Unavailable when it does not come in time."""
        waiter = self._join(is_write)
        if not waiter.future.done():
            await self._wait(waiter)
        try:
            yield
        finally:
            self.calls_now -= 1
            self._serve()

    def send_away(self, why: str) -> None:
        """Let nobody wait any longer: all who do get Unavailable with this sentence."""
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            if not one.future.done():
                one.future.set_result(why)

    def _join(self, is_write: bool) -> _Waiter:  # noqa: FBT001 - private, passed on as it came
        self._admit()
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_write)
        self._waiting.append(waiter)
        self._serve()
        return waiter

    async def _wait(self, waiter: _Waiter) -> None:
        try:
            async with asyncio.timeout(self._limits.wait_seconds_max):
                refusal = await waiter.future
        except TimeoutError as error:
            self._leave(waiter)
            raise Unavailable(
                f"{self._name} had no free turn for {self._limits.wait_seconds_max:g} s: it is asked less often "
                "than usual because it is slow, throttles, or has much to do; this is tried again"
            ) from error
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        if refusal:
            raise Unavailable(refusal)

    def _admit(self) -> None:
        """Turn away at once who would wait in vain."""
        pause = self._pace.paused_until - clock.now()
        if pause > self._limits.wait_seconds_max:
            raise Throttled(
                f"{self._name} asked for a pause, and gets it; this is tried again afterwards",
                retry_after_seconds=pause,
            )
        if len(self._waiting) >= self._limits.waiting_max:
            raise Unavailable(
                f"{self._name} has {self._limits.waiting_max} calls waiting for their turn, which is the most; "
                "this is tried again"
            )

    def _leave(self, waiter: _Waiter) -> None:
        """Give up waiting. A turn that was granted in the same moment goes to the next, with its token."""
        future = waiter.future
        if future.done() and not future.cancelled() and not future.result():
            self.calls_now -= 1
            self._tokens += waiter.is_write
        elif waiter in self._waiting:
            self._waiting.remove(waiter)
        self._serve()

    def _serve(self) -> None:
        """Give turns to those who wait, in order, as far as places, pause and tokens go."""
        if not self._waiting:
            return
        now = clock.now()
        self._fill(now)
        waiting, self._waiting = self._waiting, deque()
        self._waiting.extend(one for one in waiting if not one.future.done() and not self._granted(one, now))
        self._set_alarm(now)

    def _granted(self, waiter: _Waiter, now: float) -> bool:
        has_place = self.calls_now < self._pace.calls_limit
        if not has_place or now + _SLACK_SECONDS < self._pace.paused_until:
            return False
        if waiter.is_write and not self._has_token:
            return False
        self._tokens -= waiter.is_write
        self.calls_now += 1
        waiter.future.set_result("")
        return True

    @property
    def _has_token(self) -> bool:
        return self._tokens >= 1 - _SLACK_TOKENS

    def _fill(self, now: float) -> None:
        filled = self._tokens + max(0.0, now - self._filled_at) * self._pace.rate
        self._tokens = min(float(self._limits.burst), filled)
        self._filled_at = now

    def _set_alarm(self, now: float) -> None:
        """Serve again when time alone allows more; returned places and a new pace serve by themselves."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        delay = self._pace.paused_until - now
        if delay <= _SLACK_SECONDS:
            delay = self._token_seconds()
        if self._waiting and delay > 0:
            self._alarm = asyncio.get_running_loop().call_later(delay, self._serve)

    def _token_seconds(self) -> float:
        """Until the next token, when somebody waits for one; else 0."""
        if self._has_token or not any(one.is_write for one in self._waiting):
            return 0.0
        return max(_SLACK_SECONDS, (1 - self._tokens) / self._pace.rate)
