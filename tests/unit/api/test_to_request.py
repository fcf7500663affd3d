"""From the custom resource to the planner's question."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from deepseek_operator.api.parse import parse, parse_documents
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.catalog import models
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Quality, Sla, Workload
from spec_table import Changes, changed

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples").glob("*.yaml"))
MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
SMALLER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
OTHER = "deepseek-ai/DeepSeek-V2-Lite"
NIGHT = {"name": "night", "start": "0 22 * * *", "durationSeconds": 3600, "minReplicas": 1, "maxReplicas": 1}
NIGHTLY = {"model": SMALLER, "when": "Schedule", "schedule": "night"}
WORKLOAD = Workload(input_tokens=512, output_tokens=128, max_context_tokens=4096, concurrency=8)


def test_what_the_spec_leaves_open_stays_open() -> None:
    assert plan_request(parse(changed({}))) == PlanRequest(
        model_name=MODEL, model=models.shape(MODEL), workload=WORKLOAD
    )


def test_everything_that_the_spec_pins_is_asked_for() -> None:
    spec = {
        "sla": {"ttftMilliseconds": 2000, "tpotMilliseconds": 60, "percentile": 99},
        "hardware": {
            "gpus": ["h100-sxm5-80gb", "a100-sxm4-80gb"],
            "maxGpusTotal": 16,
            "maxCostPerHourUsd": "40.50",
        },
        "precision": {"quality": "NearLossless", "quantization": "FP8", "kvCache": "FP8"},
        "parallelism": {"tensor": 4, "pipeline": 2, "data": 1, "expert": False},
        "engine": {
            "release": "0.32.0",
            "maxNumSeqs": 64,
            "maxNumBatchedTokens": 8192,
            "gpuMemoryUtilizationPercent": 85,
        },
        "scaling": {"minReplicas": 2, "maxReplicas": 4},
    }
    assert plan_request(parse(changed(spec))) == PlanRequest(
        model_name=MODEL,
        model=models.shape(MODEL),
        workload=WORKLOAD,
        sla=Sla(ttft_milliseconds=2000, tpot_milliseconds=60, percentile=99),
        gpus=("a100-sxm4-80gb", "h100-sxm5-80gb"),
        max_gpus_total=16,
        max_cost_per_hour_usd=Decimal("40.50"),
        min_replicas=2,
        max_replicas=4,
        quality=Quality.NEAR_LOSSLESS,
        quantization="FP8",
        kv_cache_dtype=KvCacheDtype.FP8,
        parallelism=PinnedParallelism(tensor=4, pipeline=2, data=1, expert=False),
        max_num_seqs=64,
        max_num_batched_tokens=8192,
        gpu_memory_utilization_percent=85,
        engine_release="0.32.0",
    )


WINDOW = {"start": "0 8 * * *", "durationSeconds": 3600, "minReplicas": 1}


@pytest.mark.parametrize(
    ("scaling", "most"),
    [
        pytest.param({}, 1, id="one replica when nothing is said"),
        pytest.param({"minReplicas": 3}, 3, id="as many as are always there"),
        pytest.param({"minReplicas": 0, "scaleToZeroAfterSeconds": 60}, 1, id="one even when it scales to zero"),
        pytest.param({"maxReplicas": 4}, 4, id="the limit of scaling"),
        pytest.param(
            {"maxReplicas": 2, "schedules": [WINDOW | {"name": "day", "maxReplicas": 6}]},
            6,
            id="the busiest window",
        ),
    ],
)
def test_limits_hold_at_the_most_replicas_that_can_ever_run(scaling: Changes, most: int) -> None:
    assert plan_request(parse(changed({"scaling": scaling}))).max_replicas == most


def test_a_config_stands_in_for_the_catalogue_whatever_the_name() -> None:
    config = dict(models.model(MODEL).config) | {"num_hidden_layers": 3}
    request = plan_request(parse(changed({"model": {"name": "our/tiny", "config": config}})))
    assert (request.model_name, request.model.num_layers) == ("our/tiny", 3)


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        pytest.param({"model.name": "deepseek-ai/DeepSeek-R9"}, "spec.model.name", "did you mean", id="no such model"),
        pytest.param(
            {"model.config": {"architectures": ["MambaForCausalLM"]}},
            "spec.model.config",
            "MambaForCausalLM",
            id="a config of another family",
        ),
        pytest.param(
            {"hardware.gpus": ["h100-sxm5-80gb", "h100"]}, "spec.hardware.gpus[1]", "h100-sxm5-80gb", id="no such GPU"
        ),
        pytest.param(
            {"precision.quantization": "Zip"}, "spec.precision.quantization", "known are Native", id="no such format"
        ),
        pytest.param(
            {"fallbacks": [{"model": "deepseek-ai/DeepSeek-R9"}]},
            "spec.fallbacks[0].model",
            "did you mean",
            id="no such fallback",
        ),
        pytest.param({"engine.release": "0.1"}, "spec.engine.release", "known are", id="no such release"),
    ],
)
def test_an_unknown_name_is_told_with_its_field(changes: Changes, field: str, part: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        plan_request(parse(changed(changes)))
    assert error.value.field == field
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"scaling": {"schedules": [NIGHT | {"start": "0 25 * * *"}]}},
            "spec.scaling.schedules[0].start: '0 25 * * *' is no cron expression (Bad hour); write minute, hour, "
            "day of month, month, day of week, such as '0 8 * * MON-FRI'",
            id="a window at an hour that does not exist",
        ),
        pytest.param(
            {"scaling": {"schedules": [NIGHT | {"timeZone": "europe/berlin"}]}},
            "spec.scaling.schedules[0].timeZone: 'europe/berlin' is no time zone; did you mean Europe/Berlin?",
            id="a time zone in the wrong case",
        ),
        pytest.param(
            {"scaling": {"schedules": [NIGHT | {"timeZone": "Europe"}]}},
            "spec.scaling.schedules[0].timeZone: 'Europe' is no time zone; write one such as Europe/Berlin or UTC",
            id="half a time zone",
        ),
        pytest.param(
            {
                "fallbacks": [{"model": each, "when": "Schedule", "schedule": "night"} for each in (SMALLER, OTHER)],
                "scaling": {"schedules": [NIGHT]},
            },
            "spec.fallbacks[1].schedule: the window has a model already; name one for each",
            id="two models for one window",
        ),
        pytest.param(
            {
                "fallbacks": [{"model": SMALLER}, NIGHTLY | {"revision": "v2"}],
                "scaling": {"schedules": [NIGHT]},
            },
            f"spec.fallbacks[1].revision: {SMALLER} is named before in another one; give one",
            id="one model in two revisions",
        ),
        pytest.param(
            {"fallbacks": [NIGHTLY], "scaling": {"schedules": [NIGHT]}, "rollout": {"canary": {}}},
            "spec.rollout.canary: a window that changes the model is no change to try; leave out one of the two",
            id="a trial of what the clock changes",
        ),
        pytest.param(
            {"fallbacks": [NIGHTLY], "scaling": {"schedules": [NIGHT]}, "apply": "Manual"},
            "spec.apply: Manual names one plan, and windows with a model of their own need two; use Auto",
            id="an approval for two plans",
        ),
        pytest.param(
            {"fallbacks": [{"model": MODEL}]},
            "spec.fallbacks[0].model: is named before; name a smaller model",
            id="the asked model as its own fallback",
        ),
        pytest.param(
            {"fallbacks": [{"model": SMALLER}, {"model": SMALLER}]},
            "spec.fallbacks[1].model: is named before; name a smaller model",
            id="a fallback twice",
        ),
        pytest.param(
            {"fallbacks": [{"model": SMALLER}], "model.servedName": "--api-key=known"},
            "spec.model.servedName: begins with a hyphen, which fallbacks cannot; choose another",
            id="a name that the engine would take for an argument",
        ),
        pytest.param(
            {"fallbacks": [{"model": SMALLER}], "model.storage": {"hostPath": {"path": "/models/r1"}}},
            "spec.fallbacks[0]: spec.model.storage mounts the weights of another model; leave it out, or use "
            "huggingFace",
            id="a fallback beside mounted weights",
        ),
        pytest.param(
            {
                "fallbacks": [{"model": SMALLER}],
                "precision.quantization": "AWQ",
                "precision.checkpoint": "our/model-awq",
            },
            "spec.fallbacks[0]: spec.precision.checkpoint holds the weights of another model; leave one of them out",
            id="a fallback beside a checkpoint",
        ),
        pytest.param(
            {"precision.quantization": "AWQ"},
            "spec.precision.checkpoint: name the repository whose weights are stored in AWQ",
            id="a stored format without its weights",
        ),
        pytest.param(
            {"precision.quantization": "FP8", "precision.checkpoint": "our/model-fp8"},
            "spec.precision.checkpoint: FP8 is made from the model's own weights while loading; leave it out",
            id="stored weights for a format that is made while loading",
        ),
        pytest.param(
            {
                "precision.quantization": "AWQ",
                "precision.checkpoint": "our/model-awq",
                "model.storage": {"hostPath": {"path": "/models/r1"}},
            },
            "spec.precision.checkpoint: mounted weights are served as they are; leave it out, or use huggingFace",
            id="a repository beside mounted weights",
        ),
    ],
)
def test_what_cannot_be_obeyed_is_refused(changes: Changes, sentence: str) -> None:
    with pytest.raises(InvalidSpecError) as error:
        plan_request(parse(changed(changes)))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"precision.quantization": "AWQ", "precision.checkpoint": "our/model-awq"}, id="weights that are named"
        ),
        pytest.param(
            {"precision.quantization": "AWQ", "model.storage": {"hostPath": {"path": "/models/r1-awq"}}},
            id="weights that are mounted",
        ),
    ],
)
def test_a_stored_format_with_its_weights_is_planned(changes: Changes) -> None:
    assert plan_request(parse(changed(changes))).quantization == "AWQ"


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.stem for sample in SAMPLES])
def test_samples_are_right(sample: Path) -> None:
    for deployment in parse_documents(sample.read_text()):
        plan_request(deployment)


def test_there_are_samples() -> None:
    assert {sample.stem for sample in SAMPLES} >= {
        "deepseek-67b",
        "deepseek-r1",
        "deepseek-v2-lite",
        "external-scaling",
        "ladder",
        "r1-distill-qwen-7b",
        "scale-to-zero",
    }


def test_fallbacks_ask_the_same_of_smaller_models() -> None:
    asked = plan_request(parse(changed({"fallbacks": [{"model": SMALLER}], "onInfeasible": "DeployNearest"})))
    [fallback] = asked.fallbacks
    assert (fallback.model_name, fallback.model) == (SMALLER, models.shape(SMALLER))
    assert replace(fallback, model_name=asked.model_name, model=asked.model) == replace(
        asked, fallbacks=(), deploy_nearest=False
    )
    assert (asked.deploy_nearest, fallback.deploy_nearest) == (True, False)
