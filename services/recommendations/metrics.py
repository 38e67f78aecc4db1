"""Count what the service does, for Prometheus; several processes write below PROMETHEUS_MULTIPROC_DIR.

No label holds an id of a person or a key.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess, start_http_server

ANSWERS = Counter("recommendations_answers", "Lists by program and source.", ["program", "source"])
RESPONSES = Counter("recommendations_responses", "Responses by status.", ["status"])
SECONDS = Histogram(
    "recommendations_seconds",
    "Time from the request's head to its response.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
LIVE = Counter("recommendations_live", "Calls of Amazon Personalize by outcome.", ["program", "outcome"])
BUILDS = Counter("recommendations_builds", "Stores built, by outcome.", ["program", "outcome"])
CREATED = Gauge(
    "recommendations_publication_created_timestamp_seconds",
    "When the served lists were made.",
    ["program"],
    multiprocess_mode="mostrecent",
)
CHECKED = Gauge(
    "recommendations_suppression_checked_timestamp_seconds",
    "When the list of erased people was last read.",
    ["program"],
    multiprocess_mode="mostrecent",
)


def serve(port: int, host: str) -> None:
    """Serve ``/metrics`` of all processes on a port of its own, which need not be open to clients."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    start_http_server(port, addr=host, registry=registry)
