"""The watch of one kind: a list, then every change since, for ever; its shelf is never far behind the cluster.

Whatever breaks, it goes on from the version that it reached, and lists anew only where that is no longer kept. It
asks again ever more slowly, so that a cluster in trouble is not asked by all watches at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from time import monotonic

import structlog

from drivers.base import DriverError, Throttled
from drivers.kubernetes.answers import Gone
from drivers.kubernetes.client import Client, Ended, WatchEvent
from drivers.kubernetes.kinds import Resource
from drivers.kubernetes.shelf import Shelf
from model.names import Owner

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How watches bear trouble.

    `silent_seconds`: a watch that says nothing for so long, not even a bookmark, is dead; the API server sends one
    a minute. `steady_seconds`: one that lived so long is well, and the next is asked for at once. `least_seconds`
    and `most_seconds`: between two that were not, doubling, jittered.
    """

    silent_seconds: float = 90.0
    steady_seconds: float = 5.0
    least_seconds: float = 0.2
    most_seconds: float = 30.0


class Watch:
    """Keeps a shelf up to date. `news` is told the owners of whom something changed."""

    def __init__(
        self,
        *,
        client: Client,
        resource: Resource,
        labels: str,
        shelf: Shelf,
        news: Callable[[Iterable[Owner]], None],
        patience: Patience,
        random: Random,
    ) -> None:
        self.is_current = False
        self.tried = asyncio.Event()  # set once it was open, or could not be
        self._client = client
        self._resource = resource
        self._labels = labels
        self._shelf = shelf
        self._news = news
        self._patience = patience
        self._random = random
        self._is_listed = False
        self._opened_at = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            self._opened_at, asked = monotonic(), 0.0
            try:
                await self._follow()
            except Ended:
                pass  # in good order: what is known is as good as it was a moment ago
            except DriverError as error:
                asked = self._broken(error)
            except (KeyError, TypeError, ValueError) as error:
                self._is_listed = False
                self._broken(error)
            self.tried.set()
            is_steady = monotonic() - self._opened_at >= self._patience.steady_seconds
            failures = 0 if is_steady else failures + 1
            await asyncio.sleep(max(asked, self._pause(failures)))

    async def _follow(self) -> None:
        if not self._is_listed:
            await self._list()
        changes = self._client.watch(
            self._resource,
            labels=self._labels,
            version=str(self._shelf.version),
            silent_seconds=self._patience.silent_seconds,
            opened=self._open,
        )
        async with aclosing(changes):
            async for change in changes:
                self._take(change)

    async def _list(self) -> None:
        """Fill the shelf. What was listed is let go on return: a watch lives for minutes."""
        listed = await self._client.pages(self._resource, labels=self._labels)
        self._news(self._shelf.fill(listed.items, int(listed.version)))
        self._is_listed = True

    def _open(self) -> None:
        self._opened_at = monotonic()
        self.is_current = True
        self.tried.set()

    def _take(self, change: WatchEvent) -> None:
        match change.type:
            case "ADDED" | "MODIFIED":
                self._news(self._shelf.changed(change.object))
            case "DELETED":
                self._news(self._shelf.left(change.object))
            case "BOOKMARK":
                self._shelf.reached(int(change.object["metadata"]["resourceVersion"]))
            case _:
                raise ValueError(f"the watch told of {change.type!r}, which nobody knows")

    def _broken(self, error: Exception) -> float:
        """It cannot be relied on any more. Seconds that the server asks to be left alone for."""
        if self.is_current or not self.tried.is_set():
            log.info("watch broken", kind=self._resource.kind, why=str(error))
        self.is_current = False
        if isinstance(error, Gone):
            self._is_listed = False
        return (error.retry_after_seconds or 0.0) if isinstance(error, Throttled) else 0.0

    def _pause(self, failures: int) -> float:
        most = self._patience.least_seconds * 2.0 ** min(failures, 30)
        return self._random.uniform(0.5, 1.0) * min(most, self._patience.most_seconds)
