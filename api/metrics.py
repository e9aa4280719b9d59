"""The API's own metrics: how much is asked, how it ended, how long it took. Labels hold no free text."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

# Reading one document takes milliseconds; a plan looks at the world and takes longer.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0)
NO_ROUTE = "none"
"""The label of requests for paths that are not there: a label may not be what a stranger typed."""


class Metrics:
    """Counters of one application, in a registry of its own beside the daemon's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "armillary_api_requests",
            "Requests by what was asked and how it was answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "armillary_api_request_seconds",
            "Duration of a request until its answer was complete",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )


METRICS = web.AppKey("metrics", Metrics)
