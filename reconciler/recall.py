"""Owners to look at once more, slipped in between a driver's own hints.

After an outage everybody of that cluster is worth a look, and the driver, which saw nothing, has no hint for it.
Each recalled owner is yielded once, by whichever watch runs or comes next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from model.names import Owner


class Recall:
    """Owners to be yielded. Bounded: a new recall replaces what is left of the last one."""

    def __init__(self) -> None:
        self._left: deque[Owner] = deque()
        self._watches: list[asyncio.Event] = []

    def call(self, owners: Iterable[Owner]) -> None:
        """Yield these owners, in order, before any further hint."""
        self._left = deque(owners)
        for news in self._watches:
            news.set()

    async def merged_with(self, hints: AsyncIterator[Owner]) -> AsyncIterator[Owner]:
        """The driver's hints and the recalled. Ends and raises as the hints do."""
        news = asyncio.Event()
        self._watches.append(news)
        hint = _ask(hints, news)
        try:
            while True:
                news.clear()
                while self._left:
                    yield self._left.popleft()
                if hint.done():
                    owner = hint.result()
                    if owner is None:
                        return
                    hint = _ask(hints, news)
                    yield owner
                await news.wait()
        finally:
            self._watches.remove(news)
            await _let_go(hints, hint)


def _ask(hints: AsyncIterator[Owner], news: asyncio.Event) -> asyncio.Task[Owner | None]:
    hint = asyncio.create_task(_next(hints))
    hint.add_done_callback(lambda _: news.set())
    return hint


async def _next(hints: AsyncIterator[Owner]) -> Owner | None:
    return await anext(hints, None)


async def _let_go(hints: AsyncIterator[Owner], hint: asyncio.Task[Owner | None]) -> None:
    """End the driver's watch with ours."""
    hint.cancel()
    await asyncio.gather(hint, return_exceptions=True)
    if isinstance(hints, AsyncGenerator):
        await hints.aclose()
