"""How a worker notices that its leader is gone, and how long it outlives a leader that still answers.

A worker of vLLM serves no page, and it stayed alive for more than 30 s after its leader had ended (vLLM 0.32.0,
observed), so it is asked what the leader says: Python, which every engine image has, reads the leader's ``/health``.
"""

from __future__ import annotations

from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.probes import HEALTH_PATH
from deepseek_operator.units import ceil_div

PYTHON = "python3"

PERIOD_SECONDS = 20
"""Between two questions to the leader: each starts an interpreter, some 50 ms of processor time."""

SILENCE_SECONDS = 120
"""A leader that has not answered for so long is gone; the same patience as the leader's own liveness."""

_ASK = (
    "import os, ssl, urllib.request as r; "
    "r.urlopen('{scheme}://' + os.environ['{variable}'] + ':{port}{path}', timeout=5"
    ", context=ssl._create_unverified_context())"
)
"""Exit code 0 when the leader answers 200; certificates are not checked, as the kubelet's own probes do not."""

_OUTLIVE = (
    "import os, ssl, time, urllib.request as r\n"
    "while True:\n"
    " try: r.urlopen('{scheme}://' + os.environ['{variable}'] + ':{port}{path}', timeout=5"
    ", context=ssl._create_unverified_context())\n"
    " except Exception: break\n"
    " time.sleep(1)"
)
"""Ends when the leader stops answering: it drains for as long as it answers (vLLM 0.32.0, observed)."""


def worker_probes(container: Manifest, *, leader_variable: str) -> Manifest:
    """Return ``startupProbe`` and ``livenessProbe`` of a worker: its leader answers.

    A worker that starts waits for the leader's first answer as long as a leader may take to start. Later, a leader
    that is silent for two minutes ends the worker, and with it the group, also while the operator is down.

    Args:
        container: the leader's engine container, whose probes and port are taken over.
        leader_variable: variable that holds the leader's host name.
    """
    patience = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    asks = {"exec": {"command": [PYTHON, "-c", _script(_ASK, container, leader_variable)]}, "timeoutSeconds": 10}
    return {
        "startupProbe": {
            **asks,
            "periodSeconds": PERIOD_SECONDS,
            "failureThreshold": ceil_div(patience, PERIOD_SECONDS),
        },
        "livenessProbe": {
            **asks,
            "periodSeconds": PERIOD_SECONDS,
            "failureThreshold": SILENCE_SECONDS // PERIOD_SECONDS,
        },
    }


def worker_lifecycle(container: Manifest, *, leader_variable: str) -> Manifest:
    """Return the ``lifecycle`` of a worker: it goes after its leader, because requests in flight need it."""
    command = [PYTHON, "-c", _script(_OUTLIVE, container, leader_variable)]
    return {"preStop": {"exec": {"command": command}}}


def _script(text: str, container: Manifest, variable: str) -> str:
    port = container["ports"][0]
    scheme = container["startupProbe"]["httpGet"]["scheme"].lower()
    return text.format(scheme=scheme, variable=variable, port=port["containerPort"], path=HEALTH_PATH)
