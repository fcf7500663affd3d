"""The pod: restricted, on the planned GPU, without secrets in the open, and drained before it stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.catalog.spot import SPOT_LABELS, SPOT_TAINTS
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.engine_pod import build_pod_template, replica_weights_bytes, start_patience_seconds
from deepseek_operator.resources.names import Manifest
from model_factories import make_deployment, make_plan

SECRETIVE = {
    "model": {
        "name": "deepseek-ai/deepseek-llm-67b-chat",
        "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
    },
    "engine": {
        "apiKeySecretRef": {"name": "keys", "key": "api"},
        "tlsSecretRef": {"name": "cert"},
        "env": [{"name": "S3_KEY", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "id"}}}],
    },
}


def pod_of(plan: Plan | None = None, **spec: object) -> Manifest:
    template = build_pod_template(make_deployment(**spec), plan or make_plan(), "1f3a5c7e")
    pod: Manifest = template["spec"]
    return pod


def container_of(plan: Plan | None = None, **spec: object) -> Manifest:
    (container,) = pod_of(plan, **spec)["containers"]
    return dict(container)


RESTRICTED = [
    pytest.param(lambda pod, _: pod["securityContext"]["runAsNonRoot"] is True, id="runs as non-root"),
    pytest.param(lambda pod, _: pod["securityContext"]["runAsUser"] > 0, id="names a user that is not root"),
    pytest.param(
        lambda pod, _: pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
        id="has the default seccomp profile",
    ),
    pytest.param(
        lambda _, container: container["securityContext"]["allowPrivilegeEscalation"] is False,
        id="cannot gain privileges",
    ),
    pytest.param(
        lambda _, container: container["securityContext"]["capabilities"] == {"drop": ["ALL"]},
        id="drops all capabilities and adds none",
    ),
    pytest.param(
        lambda pod, _: not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), id="shares no namespace with the host"
    ),
    pytest.param(
        lambda _, container: not any("hostPort" in port for port in container["ports"]), id="takes no port of the host"
    ),
    pytest.param(
        lambda pod, _: all(
            {"emptyDir", "secret", "persistentVolumeClaim", "image"} & volume.keys() for volume in pod["volumes"]
        ),
        id="mounts only volume types that the restricted standard allows",
    ),
]
"""Source: Kubernetes "Pod Security Standards", profile Restricted, version 1.34."""


@pytest.mark.parametrize("rule", RESTRICTED)
@pytest.mark.parametrize(
    "spec", [pytest.param({}, id="sample"), pytest.param(SECRETIVE, id="with every secret reference")]
)
def test_pods_meet_the_restricted_standard(rule: Callable[[Manifest, Manifest], bool], spec: dict[str, Any]) -> None:
    pod = pod_of(**spec)
    assert rule(pod, pod["containers"][0])


def test_the_image_is_read_only_and_all_that_the_engine_writes_has_a_volume() -> None:
    pod = pod_of()
    container = pod["containers"][0]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    homes = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"/tmp", "/dev/shm", homes["HOME"], homes["HF_HOME"]} <= mounted  # noqa: S108 -- paths in the pod
    caches = {name for name in homes if name.endswith(("CACHE_ROOT", "CACHE_DIR"))}
    assert caches
    assert all(homes[name].startswith(homes["HOME"] + "/") for name in caches)
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_pod_has_no_key_to_the_api_server_and_reports_nothing_home() -> None:
    pod = pod_of()
    variables = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert (variables["VLLM_NO_USAGE_STATS"], variables["DO_NOT_TRACK"]) == ("1", "1")


def test_secrets_are_referenced_and_never_appear_as_values() -> None:
    pod = pod_of(**SECRETIVE)
    container = pod["containers"][0]
    referenced = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for variable in container["env"]
        if "valueFrom" in variable
    }
    assert referenced == {
        "HF_TOKEN": {"name": "hub", "key": "token"},
        "VLLM_API_KEY": {"name": "keys", "key": "api"},
        "S3_KEY": {"name": "s3", "key": "id"},
    }
    assert not {"--api-key", "--hf-token"} & {word.partition("=")[0] for word in container["args"]}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        pytest.param("VLLM_API_KEY", "set spec.engine.apiKeySecretRef instead", id="an API key has its field"),
        pytest.param(
            "HF_TOKEN", "set spec.model.storage.huggingFace.tokenSecretRef instead", id="a hub token has its field"
        ),
        pytest.param(
            "HF_HOME", "the operator sets it; leave it out", id="a variable of the operator's is not overridden"
        ),
    ],
)
def test_variables_that_the_operator_owns_are_refused(name: str, remedy: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        pod_of(engine={"env": [{"name": name, "value": "x"}]})
    assert str(caught.value) == f"spec.engine.env: {name}: {remedy}"


PRODUCT = {
    "key": "nvidia.com/gpu.product",
    "operator": "In",
    "values": ["NVIDIA-A100-SXM-80GB", "NVIDIA-A100-SXM4-80GB"],
}


def spot_rule(operator: str, key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": [value]}


@pytest.mark.parametrize(
    ("spot", "alternatives"),
    [
        pytest.param(
            "Never",
            [[PRODUCT, *(spot_rule("NotIn", key, value) for key, value in SPOT_LABELS)]],
            id="on no interruptible node",
        ),
        pytest.param("Allow", [[PRODUCT]], id="on any node"),
        pytest.param(
            "Only",
            [[PRODUCT, spot_rule("In", key, value)] for key, value in SPOT_LABELS],
            id="on interruptible nodes of any cloud",
        ),
    ],
)
def test_pods_run_only_on_the_planned_product_in_every_spelling(
    spot: str, alternatives: list[list[dict[str, Any]]]
) -> None:
    pod = pod_of(hardware={"spot": spot})
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {"nodeSelectorTerms": [{"matchExpressions": rules} for rules in alternatives]}


def test_pods_keep_off_interruptible_nodes_by_default() -> None:
    assert pod_of() == pod_of(hardware={"spot": "Never"})


def test_the_users_selector_and_tolerations_stand_beside_the_gpu_taint() -> None:
    pod = pod_of(
        hardware={
            "nodeSelector": {"zone": "b"},
            "tolerations": [{"key": "team", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        }
    )
    assert pod["nodeSelector"] == {"zone": "b"}
    assert pod["tolerations"] == [
        {"key": "team", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]


@pytest.mark.parametrize("spot", ["Allow", "Only"])
def test_pods_that_may_run_on_interruptible_nodes_tolerate_the_taints_of_their_clouds(spot: str) -> None:
    assert pod_of(hardware={"spot": spot})["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        *({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in SPOT_TAINTS),
    ]


def test_replicas_prefer_nodes_and_zones_of_their_own() -> None:
    leaders = {"deepseek-operator.io/deployment": "deepseek-67b", "deepseek-operator.io/role": "leader"}
    assert pod_of()["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": leaders},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def test_a_gpu_of_another_vendor_has_its_own_resource_taint_and_image() -> None:
    container = container_of(make_plan(gpu="mi300x"))
    assert container["resources"]["limits"] == {"amd.com/gpu": "4"}
    assert container["image"] == "vllm/vllm-openai-rocm:v0.32.0"
    assert pod_of(make_plan(gpu="mi300x"))["tolerations"][-1]["key"] == "amd.com/gpu"


@pytest.mark.parametrize(
    ("split", "resources"),
    [
        pytest.param(
            Parallelism(tensor=1),
            {
                "requests": {"cpu": "3", "memory": "9Gi", "nvidia.com/gpu": "1"},
                "limits": {"nvidia.com/gpu": "1"},
            },
            id="one GPU",
        ),
        pytest.param(
            Parallelism(tensor=2, pipeline=2, data=2),
            {
                "requests": {"cpu": "13", "memory": "37Gi", "nvidia.com/gpu": "8"},
                "limits": {"nvidia.com/gpu": "8"},
            },
            id="GPUs are tensor x pipeline x data",
        ),
    ],
)
def test_resources_follow_the_split(split: Parallelism, resources: dict[str, Any]) -> None:
    plan = make_plan(parallelism=split, gpus_per_replica=split.world_size)
    assert container_of(plan)["resources"] == resources


@pytest.mark.parametrize(
    ("split", "memory", "shm"),
    [
        pytest.param(Parallelism(tensor=8), "301Gi", "10Gi", id="each rank pins its part of the tables"),
        pytest.param(
            Parallelism(data=8, expert=True), "225Gi", "199Gi", id="data-parallel engines share them in /dev/shm"
        ),
    ],
)
def test_tables_in_host_memory_are_asked_for(split: Parallelism, memory: str, shm: str) -> None:
    model = "deepseek-ai/DeepSeek-V4.1-Flash"
    pod = pod_of(
        make_plan(model_name=model, gpu="h200-sxm", parallelism=split, gpus_per_replica=8), model={"name": model}
    )
    volume = next(volume for volume in pod["volumes"] if volume["name"] == "shm")
    assert pod["containers"][0]["resources"]["requests"]["memory"] == memory
    assert volume == {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shm}}


def test_a_stopping_pod_leaves_the_service_first_and_then_finishes_its_requests() -> None:
    pod = pod_of(engine={"shutdownSeconds": 300})
    container = pod["containers"][0]
    leaves_seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert "--shutdown-timeout=300" in container["args"]
    assert leaves_seconds > 0
    assert pod["terminationGracePeriodSeconds"] > leaves_seconds + 300


@pytest.mark.parametrize(
    ("pinned", "weights_bytes", "seconds"),
    [
        pytest.param(None, 14 * 10**9, 3600, id="a small model has the default patience"),
        pytest.param(None, 688 * 10**9, 8080, id="a big model has as long as a slow link needs"),
        pytest.param(900, 688 * 10**9, 900, id="a written patience is obeyed"),
        pytest.param(3600, 688 * 10**9, 3600, id="an hour that is written is an hour"),
    ],
)
def test_patience_at_start(pinned: int | None, weights_bytes: int, seconds: int) -> None:
    engine = {} if pinned is None else {"startupSeconds": pinned}
    assert start_patience_seconds(make_deployment(engine=engine).spec.engine, weights_bytes) == seconds


def test_the_start_probe_waits_for_the_whole_patience() -> None:
    probe = container_of()["startupProbe"]
    patience = start_patience_seconds(make_deployment().spec.engine, replica_weights_bytes(make_plan()))
    assert probe["periodSeconds"] * probe["failureThreshold"] == patience


def test_pods_of_priority_none_name_no_class() -> None:
    assert "priorityClassName" not in pod_of(priority="None")


def test_priority_is_a_class_of_the_chart_or_the_users_own() -> None:
    classes = [
        pod_of(**spec)["priorityClassName"] for spec in ({}, {"priority": "Batch"}, {"priorityClassName": "gold"})
    ]
    assert classes == ["deepseek-standard", "deepseek-batch", "gold"]


def test_the_template_does_not_depend_on_the_operators_version() -> None:
    from deepseek_operator import __version__

    assert __version__ not in json.dumps(build_pod_template(make_deployment(), make_plan(), "1f3a5c7e"))


FALLBACK = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"


@pytest.mark.parametrize(
    ("model", "names"),
    [
        pytest.param({}, ["--served-model-name", FALLBACK, "deepseek-ai/DeepSeek-R1"], id="both names"),
        pytest.param({"servedName": "chat"}, ["--served-model-name", FALLBACK, "chat"], id="the name that clients use"),
    ],
)
def test_a_fallback_serves_its_own_weights_under_its_own_name_first(model: dict[str, str], names: list[str]) -> None:
    asked = {"name": "deepseek-ai/DeepSeek-R1", "revision": "main", **model}
    fallbacks = [{"model": FALLBACK, "revision": "v2"}]
    args = container_of(make_plan(model_name=FALLBACK), model=asked, fallbacks=fallbacks)["args"]
    assert args[:5] == [FALLBACK, *names, "--revision=v2"]


def test_fallbacks_that_do_not_run_change_no_pod() -> None:
    assert pod_of(fallbacks=[{"model": FALLBACK}]) == pod_of()
