"""A real Prometheus answers the query that KEDA is given."""

from __future__ import annotations

import pytest

from cluster.polling import eventually
from deepseek_operator.scaling.in_flight_query import in_flight_query
from engine_pages import EnginePages, Load
from prometheus_server import PrometheusServer, engine_pages, prometheus

__all__ = ["engine_pages", "prometheus"]

pytestmark = pytest.mark.enable_socket


def test_the_query_sums_what_the_objects_own_pods_run_and_hold_back(
    engine_pages: EnginePages, prometheus: PrometheusServer
) -> None:
    own = ("r1-7d9c8b6f5-abcde", "r1-7d9c8b6f5-fghij", "r1-canary-5c6d7e8f9-klmno")
    for number, pod in enumerate(own):
        engine_pages.put("chat", pod, Load(running=10.0 + number, waiting=float(number)))
    engine_pages.put("chat", "r1-large-7d9c8b6f5-abcde", Load(running=1000.0))
    engine_pages.put("other", own[0], Load(running=1000.0))

    query = in_flight_query("chat", "r1", 1)
    eventually(lambda: prometheus.value(query), lambda found: found == 36.0)

    for pod in own:
        engine_pages.remove("chat", pod)
    eventually(lambda: prometheus.value(query), lambda found: found is None, what="no replica is no zero")


def test_the_query_of_groups_sums_their_leaders(engine_pages: EnginePages, prometheus: PrometheusServer) -> None:
    for pod in ("r1-nodes-0", "r1-nodes-1", "r1-nodes-0-1", "r1-nodes-2-nodes-0"):
        engine_pages.put("chat", pod, Load(running=5.0))
    eventually(lambda: prometheus.value(in_flight_query("chat", "r1", 2)), lambda found: found == 15.0)
