"""A started engine tells its KV cache: status, condition, event, metric, and the next plans are corrected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.deployments import condition, planned_by_command, small, status, versions, wait_condition, wait_ready
from cluster.fake_engine import RECORDED, FakeEngine, fake_engine, move_to
from cluster.kubectl import Kubectl
from cluster.operator_process import running_operator
from cluster.polling import eventually

BLOCK = 16

pytestmark = pytest.mark.usefixtures("resource_definition")


def hold(engine: FakeEngine, tokens: int) -> None:
    """Say that the cache was sized by the budget and holds so many tokens."""
    page = RECORDED.replace('kv_cache_memory_bytes="1073741824"', 'kv_cache_memory_bytes="None"')
    page = page.replace('kv_cache_size_tokens="310688"', f'kv_cache_size_tokens="{tokens}"')
    engine.page = page.replace('num_gpu_blocks="19418"', f'num_gpu_blocks="{tokens // BLOCK}"')


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as fake:
        yield fake


def test_what_an_engine_tells_is_shown_told_and_used(kubectl: Kubectl, engine: FakeEngine, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path, engines=True) as operator:
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        before = status(kubectl, "small")["plan"]
        tokens = before["kvCacheTokens"] * 4 // 5 // BLOCK * BLOCK
        hold(engine, tokens)
        [pod] = kubectl("get", "pods", "-o", "json")["items"]
        assert "observed" not in status(kubectl, "small")
        assert condition(kubectl, "small", "PlanAccurate") == {}

        move_to(kubectl, pod["metadata"]["name"], engine.address)

        accurate = wait_condition(kubectl, "small", "PlanAccurate", "False", "OutsideBand")
        assert accurate["message"].startswith(f"the KV cache holds {tokens:,} tokens, -21 % of the ")
        assert status(kubectl, "small")["observed"] == {
            "planHash": before["hash"],
            "variant": "",
            "pod": pod["metadata"]["name"],
            "image": pod["spec"]["containers"][0]["image"],
            "engineRelease": before["engineRelease"],
            "kvCacheTokens": tokens,
            "kvCacheBlocks": tokens // BLOCK,
            "blockSize": BLOCK,
            "sizedByHand": False,
            "plannedKvCacheTokens": before["kvCacheTokens"],
            "differencePercent": -21,
            "bandPercent": before["kvCacheErrorPercent"],
        }
        assert condition(kubectl, "small", "Ready")["status"] == "True"
        assert engine.requests == ["/metrics"]

        # The next plan expects what was measured; the pods are the same, so nothing restarts.
        corrected = eventually(
            lambda: status(kubectl, "small")["plan"], lambda plan: plan["kvCacheTokens"] == tokens, what="a new plan"
        )
        assert corrected["hash"] == before["hash"]
        assert kubectl("get", "pods", "-o", "json")["items"][0]["metadata"]["uid"] == pod["metadata"]["uid"]
        assert corrected == planned_by_command(kubectl, small(), tmp_path)["plan"]
        kubectl.apply(small("another"))
        wait_ready(kubectl, "another")
        assert status(kubectl, "another")["plan"]["kvCacheTokens"] == tokens

        def told() -> set[tuple[str, str]]:
            return {(each["type"], each["reason"]) for each in kubectl("get", "events", "-o", "json")["items"]}

        eventually(told, lambda events: ("Warning", "OutsideBand") in events, what="an event")
        name = f'{{name="small",namespace="{kubectl.namespace}"}}'
        assert operator.metric(f"deepseek_operator_plan_kv_cache_error_percent{name}") == -21
        assert operator.metric('deepseek_operator_engine_reads_total{result="ok"}') == 1


def test_a_report_survives_a_restart_and_is_not_asked_for_again(
    kubectl: Kubectl, engine: FakeEngine, tmp_path: Path
) -> None:
    with running_operator(kubectl, tmp_path, engines=True):
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        tokens = status(kubectl, "small")["plan"]["kvCacheTokens"] // BLOCK * BLOCK
        hold(engine, tokens)
        [pod] = kubectl("get", "pods", "-o", "json")["items"]
        move_to(kubectl, pod["metadata"]["name"], engine.address)
        wait_condition(kubectl, "small", "PlanAccurate", "True", "WithinBand")
        eventually(lambda: status(kubectl, "small")["plan"]["kvCacheTokens"], lambda found: found == tokens)
    before: Any = versions(kubectl)

    with running_operator(kubectl, tmp_path, engines=True) as operator:
        eventually(
            lambda: operator.metric('deepseek_operator_reconciles_total{result="ok"}'), what="a pass after the restart"
        )

        assert versions(kubectl) == before
        assert engine.requests == ["/metrics"]
        name = f'{{name="small",namespace="{kubectl.namespace}"}}'
        assert operator.metric(f"deepseek_operator_plan_kv_cache_error_percent{name}") == 0


def test_an_engine_that_does_not_answer_changes_nothing(kubectl: Kubectl, engine: FakeEngine, tmp_path: Path) -> None:
    with running_operator(kubectl, tmp_path, engines=True) as operator:
        kubectl.apply(small())
        wait_ready(kubectl, "small")
        [pod] = kubectl("get", "pods", "-o", "json")["items"]

        move_to(kubectl, pod["metadata"]["name"], engine.address)
        eventually(
            lambda: operator.metric('deepseek_operator_engine_reads_total{result="failed"}'),
            lambda failed: failed >= 1 and bool(engine.requests),
            what="a failed read",
        )

        assert "observed" not in status(kubectl, "small")
        assert condition(kubectl, "small", "Ready")["status"] == "True"
        assert operator.metric('deepseek_operator_reconciles_total{result="cluster-error"}') == 0
        hold(engine, 16_000)
        wait_condition(kubectl, "small", "PlanAccurate", "False", "OutsideBand")
