"""The daemon's own metrics, in a registry of their own. Names and labels hold no secret and no free text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# A pass of a converged owner takes milliseconds; one that starts processes tenths of a second.
_PASS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class Metrics:
    """Counters and gauges of passes, actions and the queue."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.passes = Counter("armillary_passes", "Passes by how they ended", ["result"], registry=self.registry)
        self.pass_seconds = Histogram(
            "armillary_pass_seconds", "Duration of a pass", buckets=_PASS_BUCKETS, registry=self.registry
        )
        self.actions = Counter(
            "armillary_actions",
            "Actions taken, by what was done and why",
            ["action", "cause"],
            registry=self.registry,
        )
        self.queue_depth = Gauge("armillary_queue_depth", "Keys that are due or in work", registry=self.registry)
        self.signals = Counter("armillary_signals", "Notifications from the state store", registry=self.registry)
        self.circuit_open = Gauge(
            "armillary_driver_circuit_open",
            "1 while a driver's world does not answer and calls fail at once",
            ["driver"],
            registry=self.registry,
        )
        self.calls_limit = Gauge(
            "armillary_driver_calls_limit",
            "Calls at once that a driver's world is trusted with now",
            ["driver"],
            registry=self.registry,
        )
        self.leading = Gauge("armillary_leading", "1 while this daemon may act", registry=self.registry)
