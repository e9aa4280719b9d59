"""Workers: take a key, run its pass, and turn however it ended into when to look again.

No error is terminal: a pass that failed is followed by another, at the latest after five minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from model.names import Owner
from model.status import Reason
from reconciler import clock
from reconciler.leadership import Term
from reconciler.ledger import Ledger
from reconciler.metrics import Metrics
from reconciler.parts import Parts
from reconciler.queue import Priority, WorkQueue
from reconciler.reconcile import Ended, reconcile
from reconciler.refusal import refused
from reconciler.retries import Retries
from reconciler.watermark import Watermark

log = structlog.get_logger()


class Workshop:
    """Runs passes. Several workers share one; a key is never in two of their hands."""

    def __init__(
        self,
        parts: Parts,
        *,
        queue: WorkQueue,
        retries: Retries,
        ledger: Ledger,
        watermark: Watermark,
        metrics: Metrics,
    ) -> None:
        self._retries = retries
        self._watermark = watermark
        self._parts = parts
        self._ledger = ledger
        self._queue = queue
        self._metrics = metrics
        self.last_pass_at: datetime | None = None

    async def work(self, cluster: str) -> None:
        """One worker of a cluster's lane, for ever: a key at a time, and only while this daemon leads."""
        while True:
            async with self._queue.take(cluster) as owner:
                term = await self._parts.leadership.wait()
                await self._watermark.verified(cluster, term)
                await self._pass(owner, term, cluster)

    async def _pass(self, owner: Owner, term: Term, cluster: str) -> None:
        self._ledger.lead(term.epoch, clock.now())
        with self._metrics.pass_seconds.time():
            try:
                ended = await reconcile(
                    owner,
                    self._parts.tools,
                    self._ledger,
                    epoch=term.epoch,
                    should_stop=lambda taken: self._should_stop(owner, term, cluster, taken),
                )
            except self._parts.store_errors as error:
                self._failed(owner, "store", str(error))
            except Exception as error:  # the outermost border: one broken key must not stop the others
                log.exception("pass broke", owner=str(owner))
                why = f"an error nobody foresaw ({type(error).__name__}); its trace is in the daemon's log"
                self._failed(owner, "broken", why)
                await self._tell(owner, term.epoch, why)
            else:
                self._succeeded(owner, ended)
        self.last_pass_at = datetime.now(UTC)

    async def _tell(self, owner: Owner, epoch: int, why: str) -> None:
        """Say in the owner's conditions that its pass broke."""
        store = self._parts.tools.store
        try:
            conclusion = refused(await store.load(owner), why, epoch=epoch, reason=Reason.INTERNAL_ERROR)
            if not conclusion.record.is_empty:
                await store.record(conclusion.record)
        except self._parts.store_errors as error:
            log.warning("condition not recorded", owner=str(owner), why=str(error))

    def _should_stop(self, owner: Owner, term: Term, cluster: str, taken: int) -> bool:
        """Another leader, a hold, or newer news about this key: what is left of the plan is out of date.

        News stops a pass only after its first action: the sweep repeats itself until a pass is recorded, and a
        key that is changed without end must still move on.
        """
        if self._parts.leadership.term != term or self._watermark.hold(cluster):
            return True
        return taken > 0 and self._queue.is_dirty(owner)

    def _failed(self, owner: Owner, result: str, why: str) -> None:
        delay = self._retries.failed(owner, clock.now())
        self._metrics.passes.labels(result).inc()
        self._queue.add(owner, Priority.RETRY, delay_seconds=delay)
        log.warning("pass failed", owner=str(owner), why=why, again_in_seconds=round(delay, 1))

    def _succeeded(self, owner: Owner, ended: Ended) -> None:
        self._retries.succeeded(owner)
        self._metrics.passes.labels("done").inc()
        for action in ended.plan.now:
            self._metrics.actions.labels(type(action).__name__, str(action.cause)).inc()
        if ended.plan.now:
            log.info("pass done", owner=str(owner), now=len(ended.plan.now), later=len(ended.plan.later))
        for waiting in self._ledger.turns(clock.now()):
            self._queue.add(waiting, Priority.DEPENDENCY)
        if ended.again_in_seconds is not None:
            self._queue.add(owner, Priority.RETRY, delay_seconds=ended.again_in_seconds)
