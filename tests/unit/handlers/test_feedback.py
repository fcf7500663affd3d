"""Engines' reports: what the status keeps of them, who is asked, and how a read that fails ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deepseek_operator.api.fingerprint import plan_hash
from deepseek_operator.api.status import DeepSeekDeploymentStatus
from deepseek_operator.engine_metrics import KvCacheReport
from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.handlers.acceptance import Acceptance, AcceptedPlan
from deepseek_operator.handlers.engine_reports import EngineReports, reporter
from deepseek_operator.handlers.feedback import Feedback, feedback_of, with_report
from deepseek_operator.handlers.observations import observations
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Situation, Workload
from deepseek_operator.handlers.status import next_status
from deepseek_operator.metrics import Metrics
from deepseek_operator.scaling.decision import ReplicaDecision, ReplicaReason
from model_factories import make_deployment, make_plan

PLAN = make_plan()
HASH = plan_hash(PLAN)
PAGE = 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0\n'
REPORT = KvCacheReport(engines=1, num_gpu_blocks=20_350, block_size=16, tokens_per_engine=325_600, sized_by_hand=False)
POD = PodState(
    name="deepseek-67b-5d9-x",
    node="n",
    phase="Running",
    ready=True,
    deleting=False,
    waiting_reason="",
    waiting_message="",
    uid="p1",
    address="10.1.2.3",
    plan_hash=HASH,
    image="vllm/vllm-openai:v0.32.0",
    owner="deepseek-67b-5d9",
)
RUNNING = Situation(
    generation=1,
    deployment=make_deployment(),
    acceptance=Acceptance(accepted=AcceptedPlan(plan=PLAN, fingerprint="f"), current=True),
    decision=ReplicaDecision(replicas=1, reason=ReplicaReason.PLANNED, message="the plan needs 1 replica"),
    workload=Workload(
        generation=1, status={"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    ),
    pods=(POD,),
)


def told(report: KvCacheReport = REPORT, before: Feedback | None = None, **changes: object) -> Feedback:
    plan = make_plan(**changes)
    return with_report(before or Feedback(), plan, report, variant="", pod=POD.name, image=POD.image)


def accurate(situation: Situation) -> tuple[bool | None, str, str] | None:
    found = [each for each in observations(situation) if each.type == "PlanAccurate"]
    return (found[0].holds, found[0].reason, found[0].message) if found else None


def test_planned_stands_next_to_observed():
    assert told().fields()["observed"] == {
        "planHash": HASH,
        "variant": "",
        "pod": "deepseek-67b-5d9-x",
        "image": "vllm/vllm-openai:v0.32.0",
        "engineRelease": "0.32.0",
        "kvCacheTokens": 325_600,
        "kvCacheBlocks": 20_350,
        "blockSize": 16,
        "sizedByHand": False,
        "plannedKvCacheTokens": 407_000,
        "differencePercent": -20,
        "bandPercent": PLAN.kv_cache_error_percent,
    }


def test_what_is_written_is_what_the_definition_describes_and_is_read_again():
    fields = told().fields()
    assert feedback_of(fields) == told()
    assert DeepSeekDeploymentStatus.model_validate_json(json.dumps(fields)).measurements


def test_data_parallel_engines_hold_together():
    split = replace(PLAN.parallelism, tensor=2, data=2)
    assert told(parallelism=split).fields()["observed"]["kvCacheTokens"] == 2 * 325_600


def test_the_last_plans_are_remembered_newest_first_and_each_once():
    feedback = Feedback()
    for seqs in (8, 16, 24, 32, 40, 24):
        feedback = told(before=feedback, max_num_seqs=seqs)
    assert [each["maxNumSeqs"] for each in feedback.measurements] == [24, 40, 32, 16]


def test_a_cache_sized_by_hand_corrects_nothing():
    feedback = told(replace(REPORT, sized_by_hand=True))
    assert feedback.measurements == ()
    assert accurate(replace(RUNNING, feedback=feedback))[:2] == (None, "SizedByHand")  # type: ignore[index]  # not None


@pytest.mark.parametrize("damaged", [{"observed": {"kvCacheTokens": "many"}}, {"observed": []}, {"observed": None}])
def test_a_damaged_report_counts_as_none(damaged: dict[str, Any]):
    assert feedback_of(damaged) == Feedback()


@pytest.mark.parametrize(
    ("tokens", "band", "holds", "reason"),
    [
        pytest.param(407_000, 5, True, "WithinBand", id="exact"),
        pytest.param(386_650, 5, True, "WithinBand", id="at-the-band"),
        pytest.param(386_649, 5, False, "OutsideBand", id="a-token-below"),
        pytest.param(427_351, 5, False, "OutsideBand", id="above"),
    ],
)
def test_the_condition_says_when_the_plan_was_off_by_more_than_its_band(
    tokens: int, band: int, holds: bool, reason: str
):
    feedback = told(replace(REPORT, tokens_per_engine=tokens), kv_cache_error_percent=band)
    found = accurate(replace(RUNNING, feedback=feedback))
    assert found is not None
    assert found[:2] == (holds, reason)


def test_the_message_gives_the_numbers():
    found = accurate(replace(RUNNING, feedback=told(kv_cache_error_percent=5)))
    assert found == (
        False,
        "OutsideBand",
        "the KV cache holds 325,600 tokens, -20 % of the 407,000 planned (± 5 %); the next plans of this model on "
        "these GPUs count with it",
    )


def test_before_a_report_and_after_one_of_another_plan_nothing_is_said():
    assert accurate(RUNNING) is None
    assert accurate(replace(RUNNING, feedback=told(max_num_seqs=8))) is None


def test_a_report_stays_while_the_spec_is_wrong():
    invalid = Situation(generation=2, invalid="spec.model.name: unknown")
    assert next_status(told().fields(), invalid, "2026-01-01T00:00:00Z").items() >= told().fields().items()


def test_the_ready_pod_of_the_plan_is_asked_once():
    assert reporter(RUNNING, "") == POD
    assert reporter(replace(RUNNING, feedback=told()), "") is None
    assert reporter(replace(RUNNING, feedback=told()), "another-variant") == POD


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(replace(POD, ready=False), id="not-ready"),
        pytest.param(replace(POD, deleting=True), id="deleting"),
        pytest.param(replace(POD, address=""), id="no-address"),
        pytest.param(replace(POD, plan_hash="0"), id="another-plan"),
        pytest.param(replace(POD, owner=""), id="no-replica-set"),
        pytest.param(replace(POD, owner="other-5d9"), id="of-another"),
    ],
)
def test_other_pods_are_not_asked(pod: PodState):
    assert reporter(replace(RUNNING, pods=(pod,)), "") is None


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"observedGeneration": 0, "replicas": 1, "updatedReplicas": 1}, id="not-seen"),
        pytest.param({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1}, id="rolling-out"),
    ],
)
def test_nobody_is_asked_while_old_pods_may_run(status: dict[str, int]):
    assert reporter(replace(RUNNING, workload=Workload(generation=1, status=status)), "") is None


def test_an_engine_that_serves_https_is_not_asked_and_the_condition_says_why():
    tls = replace(RUNNING, deployment=make_deployment(engine={"tlsSecretRef": {"name": "tls"}}))
    assert reporter(tls, "") is None
    found = accurate(tls)
    assert found is not None
    assert found[:2] == (None, "EngineServesTls")


def test_triton_is_not_asked_and_the_condition_says_why():
    triton = replace(RUNNING, deployment=make_deployment(engine={"type": "Triton", "image": "r/t:1"}))
    assert reporter(triton, "") is None
    found = accurate(triton)
    assert found is not None
    assert found == (
        None,
        "EngineTellsNoCache",
        "Triton does not tell the size of the engine's KV cache, so the plan is not compared with it",
    )


def asked(
    *answers: str | EngineMetricsError, enabled: bool = True, tries: int = 3
) -> tuple[KvCacheReport | None, list[str], dict[str, float]]:
    """Return what was read when pages come in this order, the URLs, and the counts of reads."""
    urls: list[str] = []

    async def scenario() -> tuple[KvCacheReport | None, list[str], dict[str, float]]:
        left, done, metrics = list(answers), asyncio.Event(), Metrics(CollectorRegistry())

        async def read(url: str) -> str:
            urls.append(url)
            answer = left.pop(0)
            if not left:
                asyncio.get_running_loop().call_soon(done.set)
            if isinstance(answer, EngineMetricsError):
                raise answer
            return answer

        def wake(_: str) -> None:
            done.set()

        reports = EngineReports(wake, metrics, enabled=enabled, read=read, retry_seconds=(0.0,) * (tries - 1))
        assert reports.report("u1", POD) is None
        if enabled:
            await done.wait()
        await asyncio.sleep(0)
        found = reports.report("u1", POD)
        await reports.close()
        counts = {
            result: metrics.registry.get_sample_value("deepseek_operator_engine_reads_total", {"result": result}) or 0
            for result in ("ok", "failed")
        }
        return found, urls, counts

    return asyncio.run(scenario())


def test_a_page_is_read_once_and_its_report_remembered():
    found, urls, counts = asked(PAGE)
    assert found == KvCacheReport(
        engines=1, num_gpu_blocks=1000, block_size=16, tokens_per_engine=16_000, sized_by_hand=False
    )
    assert (urls, counts) == (["http://10.1.2.3:8000/metrics"], {"ok": 1, "failed": 0})


def test_a_read_that_fails_is_tried_again():
    found, urls, counts = asked(EngineMetricsError("no answer"), "<html>", PAGE)
    assert found is not None
    assert (len(urls), counts) == (3, {"ok": 1, "failed": 2})


def test_after_some_tries_the_pod_is_left_alone():
    found, urls, counts = asked(*[EngineMetricsError("no answer")] * 3)
    assert found is None
    assert (len(urls), counts) == (3, {"ok": 0, "failed": 3})


def test_nothing_is_read_when_the_administrator_says_so():
    assert asked(PAGE, enabled=False) == (None, [], {"ok": 0, "failed": 0})
