"""The circuit of one cluster at work: refuses calls while it is open, and probes the cluster until it is back.

The rules are `breaker`'s; here are the task that probes, the sentences, and who is told. The probe is a call of
its own, so that a cluster is found back even if nobody asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random

import structlog

from drivers.base import Conflict, Refused, Throttled, Unavailable
from model.names import Owner
from reconciler import breaker, clock
from reconciler.breaker import BreakerLimits, Closed, Open

log = structlog.get_logger()


def called(cluster: str) -> str:
    """How sentences call a cluster; the driver that serves all clusters serves their databases."""
    return f"cluster {cluster}" if cluster else "the databases' server"


class Circuit:
    """Open or closed. `cluster` is its name as drivers say it; `probe` asks it for its owners.

    `on_open` is called with why, when nobody answers; `on_close` with everybody whom the cluster knows (nobody, if
    it answered with a refusal), when it answers again. Both must return at once.
    """

    def __init__(
        self,
        cluster: str,
        probe: Callable[[], Awaitable[frozenset[Owner]]],
        *,
        on_open: Callable[[str], None],
        on_close: Callable[[frozenset[Owner]], None],
        probe_seconds_max: float,
        limits: BreakerLimits,
        random: Random,
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._name = called(cluster)
        self._probe = probe
        self._on_open = on_open
        self._on_close = on_close
        self._probe_seconds_max = probe_seconds_max
        self._limits = limits
        self._random = random
        self._clock = clock
        self._state: breaker.State = Closed()
        self._dark_at: datetime | None = None
        self._prober: asyncio.Task[None] | None = None

    @property
    def era(self) -> int:
        """What a call must name when it tells how it ended."""
        return self._state.era

    @property
    def since(self) -> float | None:
        """When the first unanswered call failed, by the loop's clock; None while the circuit is closed."""
        return self._state.since if isinstance(self._state, Open) else None

    @property
    def why(self) -> str:
        """Why calls are refused, in a sentence that stays the same while nothing changes; empty: they are not."""
        if not isinstance(self._state, Open) or self._dark_at is None:
            return ""
        return (
            f"{self._name} has not answered since {self._dark_at:%Y-%m-%d %H:%M:%S %Z} ({self._state.why}); "
            f"it is asked again within {self._limits.pause_seconds_max:g} s"
        )

    def check(self) -> None:
        """Raise Unavailable while the circuit is open."""
        if self.why:
            raise Unavailable(self.why)

    def answered(self, era: int) -> None:
        """A call of this era was answered."""
        self._state = breaker.call_answered(self._state, era)

    def failed(self, era: int, why: str) -> None:
        """A call of this era was not answered. Opens the circuit when that was one too many."""
        was_closed = isinstance(self._state, Closed)
        self._state = breaker.call_failed(
            self._state, era, why=why, now=clock.now(), fraction=self._random.random(), limits=self._limits
        )
        if was_closed and isinstance(self._state, Open):
            self._open(self._state)

    async def stop(self) -> None:
        """Stop probing, and forget: whoever goes on asks a cluster of which nothing is known."""
        self._state = Closed(era=self._state.era + 1)
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)

    def _open(self, state: Open) -> None:
        self._dark_at = self._clock() - timedelta(seconds=clock.now() - state.since)
        self._prober = asyncio.create_task(self._probe_until_answered(), name=f"probe {self._name}")
        log.warning("cluster circuit opened", cluster=self._cluster, why=state.why)
        self._on_open(self.why)

    async def _probe_until_answered(self) -> None:
        while isinstance(self._state, Open):
            await asyncio.sleep(max(0.0, self._state.probe_at - clock.now()))
            await self._probe_once(self._state)

    async def _probe_once(self, state: Open) -> None:
        try:
            async with asyncio.timeout(self._probe_seconds_max):
                owners = await self._probe()
        except (Refused, Conflict, Throttled):  # an answer, though not the one we asked for
            self._close(state, frozenset())
        except TimeoutError:
            self._failed_again(state, f"a probe had no answer within {self._probe_seconds_max:g} s")
        except Unavailable as error:
            self._failed_again(state, str(error))
        except Exception as error:  # a probe that dies would leave the circuit open for ever
            log.exception("cluster probe broke", cluster=self._cluster)
            self._failed_again(state, f"a probe broke of an error nobody foresaw ({type(error).__name__})")
        else:
            self._close(state, owners)

    def _failed_again(self, state: Open, why: str) -> None:
        self._state = breaker.probe_failed(
            state, why=why, now=clock.now(), fraction=self._random.random(), limits=self._limits
        )

    def _close(self, state: Open, owners: frozenset[Owner]) -> None:
        self._state = breaker.probe_answered(state)
        log.info("cluster circuit closed", cluster=self._cluster, seconds=round(clock.now() - state.since, 1))
        self._on_close(owners)
