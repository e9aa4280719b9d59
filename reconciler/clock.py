"""The clock that the reconciler measures waits and ages by: the event loop's, deaf to changes of the date."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Seconds since some moment; only differences mean anything. Needs a running loop."""
    return asyncio.get_running_loop().time()
