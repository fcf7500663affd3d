"""Triton's pods say what the plan says, in files that Triton's own types accept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deepseek_operator.api.fingerprint import engine_variant
from deepseek_operator.api.to_request import plan_request
from deepseek_operator.catalog.engine_fields import FieldKind, engine_fields
from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.catalog.triton_releases import triton_releases
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.engine_arguments import engine_arguments
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.names import Manifest
from deepseek_operator.resources.runnable import is_runnable
from deepseek_operator.resources.triton_limits import triton_refusal
from deepseek_operator.resources.triton_repository import kv_cache_fraction
from manifest_cases import triton as cases
from manifest_cases.case import ManifestCase, all_cases
from model_factories import make_deployment, make_plan

VLLM, ENGINE = cases.of_vllm(), cases.of_an_engine(cases.CLAIM, 4)
FLAGS, FIELDS = engine_flags("vllm", "0.32.0"), engine_fields("vllm", "0.32.0")


def template_of(spec: dict[str, Any], plan: Plan | None = None) -> Manifest:
    return build_pod_template(make_deployment(**spec), plan or make_plan(), "1f3a5c7e")


def config_of(spec: dict[str, Any], plan: Plan | None = None) -> Any:  # noqa: ANN401 - a generated type
    text = template_of(spec, plan)["metadata"]["annotations"]["deepseek-operator.io/triton-config.pbtxt"]
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def changed(spec: dict[str, Any], **engine: object) -> dict[str, Any]:
    return {**spec, "engine": {**spec["engine"], **engine}}


def test_vllm_config_leaves_batching_to_vllm() -> None:
    config = config_of(VLLM)
    assert (config.name, config.backend, config.max_batch_size) == ("deepseek-llm-67b-chat", "vllm", 0)
    assert config.model_transaction_policy.decoupled
    assert [(group.count, group.kind) for group in config.instance_group] == [
        (1, model_config_pb2.ModelInstanceGroup.KIND_MODEL)
    ]
    assert config.parameters["REPORT_CUSTOM_METRICS"].string_value == "true"
    assert not config.HasField("dynamic_batching")


def test_tensorrt_llm_config_carries_batch_cache_and_engine_of_the_plan() -> None:
    config = config_of(ENGINE)
    assert (config.name, config.backend, config.max_batch_size) == ("chat", "tensorrtllm", 64)
    assert config.model_transaction_policy.decoupled
    assert list(config.dynamic_batching.preferred_batch_size) == [64]
    assert {name: each.string_value for name, each in config.parameters.items()} == {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": "/models/model/67b/engines/tp4",
        "executor_worker_path": "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",
        "batch_scheduler_policy": "guaranteed_no_evict",
        "kv_cache_free_gpu_mem_fraction": kv_cache_fraction(make_plan().memory),
        "max_beam_width": "1",
        "exclude_input_in_output": "true",
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    }


@pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in cases.CASES])
def test_every_case_can_run_and_its_config_is_read_by_tritons_own_types(case: Any) -> None:  # noqa: ANN401 - a row
    deployment = make_deployment(case.name, **case.spec)
    assert is_runnable(case.plan, deployment) == ""
    config = config_of(case.spec, case.plan)
    directories = [
        mount["mountPath"]
        for mount in template_of(case.spec, case.plan)["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "model-repository"
    ]
    assert directories == [f"/models/repository/{config.name}"]


@pytest.mark.parametrize(
    ("split", "variable"),
    [pytest.param(4, ["1"], id="one server starts the other ranks"), pytest.param(1, [], id="a single rank")],
)
def test_ranks_of_an_engine(split: int, variable: list[str]) -> None:
    plan = make_plan(gpus_per_replica=split, parallelism=Parallelism(tensor=split))
    container = template_of(cases.of_an_engine(cases.CLAIM, split), plan)["spec"]["containers"][0]
    found = {each["name"]: each.get("value") for each in container["env"]}
    assert [found[name] for name in found if name == "TRTLLM_ORCHESTRATOR"] == variable
    assert [name for name in found if name.startswith("VLLM_")] == []


def test_cache_share_never_exceeds_the_planned_bytes() -> None:
    memory = make_plan().memory
    left = memory.total_bytes - memory.weights_bytes - 4 * 2**30
    assert 0.98 * memory.kv_cache_bytes < float(kv_cache_fraction(memory)) * left <= memory.kv_cache_bytes


SERVERS_OWN = {
    "--chat-template",
    "--enable-auto-tool-choice",
    "--lora-modules",
    "--port",
    "--served-model-name",
    "--shutdown-timeout",
    "--ssl-certfile",
    "--ssl-keyfile",
    "--tool-call-parser",
}
"""What vLLM's HTTP server decides, and Triton in its place."""

ON_VLLM = [case for case in all_cases() if case not in cases.CASES and case.plan.nodes_per_replica == 1]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in ON_VLLM])
def test_everything_that_vllm_is_told_reaches_the_engine_inside_triton(case: ManifestCase) -> None:
    """Whatever the command line says for any golden case, ``model.json`` says as well."""
    words = template_of(dict(case.spec), case.plan)["spec"]["containers"][0]["args"]
    told = {flag.partition("=")[0].split(".")[0] for flag in words if flag.startswith("--")}
    fields = engine_arguments(words, FLAGS, FIELDS)
    expected = {FLAGS[flag].names[0].removeprefix("--").replace("-", "_") for flag in told - SERVERS_OWN}
    assert set(fields) - {"model"} == expected
    json.dumps(fields)


def test_extra_arguments_reach_the_engine() -> None:
    template = template_of(changed(VLLM, extraArgs=["--seed", "7", "--allowed-media-domains", "a", "b"]))
    arguments = json.loads(template["metadata"]["annotations"]["deepseek-operator.io/triton-1-model.json"])
    assert (arguments["seed"], arguments["allowed_media_domains"]) == (7, ["a", "b"])
    assert arguments["disable_log_stats"] is False


def test_variables_of_the_server_are_not_the_users() -> None:
    with pytest.raises(InvalidSpecError, match="TRITON_ADMIN_KEY: the operator sets it for Triton; leave it out"):
        template_of(changed(VLLM, env=[{"name": "TRITON_ADMIN_KEY", "value": "known"}]))


def test_adapters_are_listed_for_the_backend() -> None:
    model = {"loraAdapters": [{"name": "law", "source": "owner/law"}, {"name": "art", "source": "owner/art"}]}
    annotations = template_of(cases.of_vllm(**model))["metadata"]["annotations"]
    listed = json.loads(annotations["deepseek-operator.io/triton-1-multi_lora.json"])
    assert listed == {"law": "owner/law", "art": "owner/art"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--max-num-seqs", "8"], {"max_num_seqs": 8}, id="a number as a word of its own"),
        pytest.param(["--no-enable-prefix-caching"], {"enable_prefix_caching": False}, id="a switch turned off"),
        pytest.param(["--enforce-eager"], {"enforce_eager": True}, id="a switch turned on"),
        pytest.param(
            ['--speculative-config={"method": "mtp"}'], {"speculative_config": {"method": "mtp"}}, id="an object"
        ),
        pytest.param(
            ["--compilation-config.level=2", "--compilation-config.backend", "eager"],
            {"compilation_config": {"level": 2, "backend": "eager"}},
            id="an object in parts",
        ),
        pytest.param(
            ["--compilation-config.splitting_ops+", "a", "--compilation-config.splitting_ops+=b,c"],
            {"compilation_config": {"splitting_ops": ["a", "b", "c"]}},
            id="a list in parts",
        ),
        pytest.param(["--cudagraph-capture-sizes", "8"], {"cudagraph_capture_sizes": [8]}, id="a list of one"),
        pytest.param(["--enforce_eager"], {"enforce_eager": True}, id="underscores"),
        pytest.param(["--served-model-name", "a", "b", "--port=1"], {}, id="what the server decides"),
        pytest.param(["--device-memory-utilization=0.5"], {"gpu_memory_utilization": 0.5}, id="an alias"),
    ],
)
def test_flags_become_fields(words: list[str], expected: dict[str, object]) -> None:
    assert engine_arguments(["a/b", *words], FLAGS, FIELDS) == {"model": "a/b", **expected}


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        pytest.param(
            ["--chat-template=x"],
            "spec.engine.extraArgs: --chat-template is for vLLM's own HTTP server, which Triton replaces; leave it out",
            id="a flag of the HTTP server",
        ),
        pytest.param(
            ["--chat_template=x"],
            "spec.engine.extraArgs: --chat-template is for vLLM's own HTTP server, which Triton replaces; leave it out",
            id="a flag of the HTTP server with underscores",
        ),
        pytest.param(
            ["--seed=x"], "spec.engine.extraArgs: --seed needs a whole number in model.json, not 'x'", id="no number"
        ),
        pytest.param(
            ["--additional-config={"],
            "spec.engine.extraArgs: --additional-config needs JSON in model.json, not '{'",
            id="no JSON",
        ),
    ],
)
def test_arguments_that_the_engine_cannot_read_are_refused(extra: list[str], sentence: str) -> None:
    with pytest.raises(InvalidSpecError, match=f"^{re.escape(sentence)}$"):
        template_of(changed(VLLM, extraArgs=extra))


@pytest.mark.parametrize(
    ("spec", "plan", "part"),
    [
        pytest.param(changed(VLLM, apiKeySecretRef={"name": "a", "key": "b"}), {}, "checks no API keys", id="a key"),
        pytest.param(changed(VLLM, tlsSecretRef={"name": "a"}), {}, "has no TLS", id="TLS"),
        pytest.param(changed(VLLM, image=""), {}, "no Triton release is known to hold vLLM 0.32.0", id="no image"),
        pytest.param(
            changed(VLLM, image=""),
            {"gpu": "mi300x"},
            "Triton's images are for nvidia and the plan uses mi300x",
            id="AMD",
        ),
        pytest.param(VLLM, {"nodes_per_replica": 2}, "Triton serves a replica on one node", id="several nodes"),
        pytest.param(
            VLLM,
            {"parallelism": Parallelism(tensor=1, data=4)},
            "runs one engine and the plan is TP1 DP4; set spec.parallelism.data to 1",
            id="data parallel",
        ),
        pytest.param(
            VLLM,
            {"share": GpuShare(mechanism=ShareMechanism.MPS, resource="r", slices_per_gpu=4, memory_bytes=20 * 2**30)},
            "Triton needs GPU memory beside the plan and MPS 1/4 does not isolate it",
            id="a share that is not isolated",
        ),
        pytest.param(
            {**VLLM, "fallbacks": [{"model": "deepseek-ai/deepseek-llm-7b-chat"}]}, {}, "spec.fallbacks", id="fallbacks"
        ),
        pytest.param(cases.of_vllm(servedName="a/b"), {}, "'a/b' is no name for a model of Triton", id="a name with /"),
        pytest.param(
            {**ENGINE, "model": {**ENGINE["model"], "loraAdapters": [{"name": "a", "source": "b/c"}]}},
            {},
            "spec.model.loraAdapters is for vLLM",
            id="adapters of an engine",
        ),
        pytest.param(changed(ENGINE, image=""), {}, "only in the release that built it", id="an engine without image"),
        pytest.param({**ENGINE, "model": {"name": cases.NAME}}, {}, "read from a volume", id="an engine from the hub"),
        pytest.param({**ENGINE, "parallelism": {"tensor": 4}}, {}, "for one split", id="an engine of unknown split"),
        pytest.param({**ENGINE, "hardware": {}}, {}, "for one GPU", id="an engine for an unknown GPU"),
        pytest.param({**ENGINE, "precision": {}}, {}, "for one precision", id="an engine of unknown precision"),
        pytest.param(changed(ENGINE, maxNumSeqs=None), {}, "for one largest batch", id="an engine of unknown batch"),
        pytest.param(changed(ENGINE, extraArgs=["--seed=7"]), {}, "extraArgs is for vLLM", id="vLLM's flags"),
        pytest.param(
            changed(ENGINE, triton={"backend": "TensorRTLLM", "engineDirectory": "a/../../b"}),
            {},
            "leaves the volume",
            id="a directory outside the volume",
        ),
        pytest.param(
            ENGINE,
            {"parallelism": Parallelism(tensor=4, expert=True)},
            "serves tensor and pipeline splits",
            id="expert parallel engine",
        ),
    ],
)
def test_what_triton_cannot_do_is_said(spec: dict[str, Any], plan: dict[str, Any], part: str) -> None:
    assert part in triton_refusal(make_plan(**plan), make_deployment(**spec))


def test_planner_is_asked_for_one_engine_unless_the_owner_pins_more() -> None:
    asked = [
        plan_request(make_deployment(**spec)).parallelism.data
        for spec in ({}, VLLM, {**VLLM, "parallelism": {"data": 2}})
    ]
    assert asked == [None, 1, 2]


def test_what_vllm_reports_corrects_no_plan_of_a_tensorrt_llm_engine() -> None:
    variants = [engine_variant(make_deployment(**changed(spec, image=""))) for spec in (VLLM, ENGINE)]
    assert (variants[0], variants[1] != "") == ("", True)


def test_releases_are_recorded_in_order_and_with_a_source() -> None:
    releases = triton_releases()
    assert [each.version for each in releases] == sorted(each.version for each in releases)
    assert all(each.source for each in releases)


def test_recorded_fields_have_a_kind() -> None:
    assert FIELDS["tensor_parallel_size"] is FieldKind.INTEGER
    assert len(FIELDS) == 255
