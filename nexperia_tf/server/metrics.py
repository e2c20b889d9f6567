"""What Prometheus is told, in a registry of this server's own."""

import prometheus_client as prometheus

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters and histograms; each has its meaning as its help."""

    def __init__(self):
        self.registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        self.requests = prometheus.Counter(
            "nexperia_requests",
            "Requests by source and by the code of their answer.",
            ("source", "code"),
            registry=registry,
        )
        self.verdicts = prometheus.Counter(
            "nexperia_verdicts",
            "Verdicts by model, version and verdict; unreadable pictures have none.",
            ("model", "version", "verdict"),
            registry=registry,
        )
        self.seconds = prometheus.Histogram(
            "nexperia_request_seconds",
            "From a request that has been read to its answer.",
            ("source",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = prometheus.Histogram(
            "nexperia_batch_size",
            "Pictures of a batch.",
            buckets=_SIZES,
            registry=registry,
        )
        self.waiting = prometheus.Gauge(
            "nexperia_pictures_waiting",
            "Pictures that wait for their turn.",
            registry=registry,
        )
        self.serving = prometheus.Gauge(
            "nexperia_serving_version",
            "The version that answers where none is named; 0 for none.",
            ("model",),
            registry=registry,
        )
        self.drift = prometheus.Gauge(
            "nexperia_drift",
            "1 where pictures have changed since the model was trained, 0 where no "
            "change was found, NaN where too little is known.",
            ("model",),
            registry=registry,
        )
        self.restarts = prometheus.Counter(
            "nexperia_process_restarts",
            "Starts of a model's process after it had died.",
            registry=registry,
        )

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return prometheus.generate_latest(self.registry)


CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
