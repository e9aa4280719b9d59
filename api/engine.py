"""What the API asks of the daemon that it runs in: a dry run, its progress, its metrics. No more."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry

from model.names import Owner
from model.plan import Plan
from reconciler.progress import Progress


class Engine(Protocol):
    """The daemon, as far as the API sees it."""

    @property
    def registry(self) -> CollectorRegistry:
        """Where the daemon's metrics are."""

    async def preview(self, owner: Owner) -> Plan:
        """What a pass of this owner would do now. Writes nothing. Raises StateError or DriverError."""

    def progress(self) -> Progress:
        """Whether work gets done."""
