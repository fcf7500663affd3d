"""When a pod counts as started, ready and alive.

The three probes ask the same question (``/health`` of the engine) with different patience. A start is as
long as its weights are big, so the start probe's patience follows from bytes, never from a fixed number.
"""

from __future__ import annotations

from deepseek_operator.resources.names import Manifest
from deepseek_operator.units import ceil_div

HEALTH_PATH = "/health"
"""Answers without an API key and over TLS where the engine has it. Source: vLLM 0.32.0, observed."""

STARTUP_PERIOD_SECONDS = 10

PESSIMISTIC_LOAD_BYTES_PER_SECOND = 100_000_000
"""Slowest loading that is still taken for progress: a 1 Gbit/s link (125 MB/s) at 80 %.

Source: arithmetic for a download from a model hub by a node with the slowest network card that servers have;
a local disk or object store is 5 to 50 times faster. Too low only delays the end of a hopeless start.
"""

STARTUP_FIXED_SECONDS = 1200
"""Patience beside the loading: image start, compilation, warm-up and CUDA graph capture.

Source: judgement. Compilation alone took 27.5 s on a CPU build with a tiny model (vLLM 0.32.0, observed); large
mixture-of-experts models on eight GPUs are reported to need 5 to 15 minutes.
"""

IMAGE_PULL_SECONDS = 1800
"""Patience for pulling an engine image of about 20 GB at 100 MB/s with unpacking, rounded up; before any probe."""


def startup_seconds(weights_bytes: int) -> int:
    """Return how long a pod may take from container start to the first healthy answer.

    ``STARTUP_FIXED_SECONDS + weights / PESSIMISTIC_LOAD_BYTES_PER_SECOND``, rounded up to a whole probe period.

    Args:
        weights_bytes: bytes of weights that one pod loads, 0 or more.

    >>> startup_seconds(0), startup_seconds(134_900_000_000), startup_seconds(688_000_000_000)
    (1200, 2550, 8080)
    """
    loading = ceil_div(weights_bytes, PESSIMISTIC_LOAD_BYTES_PER_SECOND)
    return ceil_div(STARTUP_FIXED_SECONDS + loading, STARTUP_PERIOD_SECONDS) * STARTUP_PERIOD_SECONDS


def progress_deadline_seconds(patience_seconds: int) -> int:
    """Return the Deployment's ``progressDeadlineSeconds``: a start that is still allowed is never called stuck.

    >>> progress_deadline_seconds(2550)
    4350
    """
    return patience_seconds + IMAGE_PULL_SECONDS


def build_probes(*, patience_seconds: int, port_name: str, tls: bool) -> Manifest:
    """Return ``startupProbe``, ``readinessProbe`` and ``livenessProbe`` of the engine container.

    Readiness leaves the Service after 15 s without an answer; liveness restarts only after 2 minutes, because a
    restart costs the whole loading time and every running request.

    Args:
        patience_seconds: how long a start may take (`startup_seconds`), rounded up to a whole probe period.
        port_name: name of the container's port.
        tls: whether the engine serves HTTPS; a probe never checks the certificate.
    """

    def probe(*, period_seconds: int, failures: int, timeout_seconds: int) -> Manifest:
        return {
            "httpGet": {"path": HEALTH_PATH, "port": port_name, "scheme": "HTTPS" if tls else "HTTP"},
            "periodSeconds": period_seconds,
            "failureThreshold": failures,
            "timeoutSeconds": timeout_seconds,
        }

    starts = ceil_div(patience_seconds, STARTUP_PERIOD_SECONDS)
    return {
        "startupProbe": probe(period_seconds=STARTUP_PERIOD_SECONDS, failures=starts, timeout_seconds=5),
        "readinessProbe": probe(period_seconds=5, failures=3, timeout_seconds=5),
        "livenessProbe": probe(period_seconds=10, failures=12, timeout_seconds=10),
    }
