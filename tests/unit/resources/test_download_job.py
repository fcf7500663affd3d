"""The Job that fills a cache."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.download_job import build_download, model_download
from deepseek_operator.resources.engine_pod import build_pod_template
from deepseek_operator.resources.names import Manifest, Owner
from model_factories import make_deployment, make_plan

OWNER = Owner(name="deepseek-67b", namespace="chat", uid="u")
NAME = "deepseek-ai/deepseek-llm-67b-chat"
COMMIT = "79648bef7658bb824e4630740f6e1484c1b0620b"
TOKEN = {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}}


def job_of(engine: dict[str, Any] | None = None, precision: dict[str, Any] | None = None, **model: object) -> Manifest:
    made = {"name": NAME, "cache": {"claimName": "hub-cache"}, **model}
    deployment = make_deployment(model=made, engine=engine or {}, precision=precision or {})
    plan = make_plan()
    download = model_download("deepseek-67b", deployment.spec, plan)
    assert download is not None
    _, job = build_download(OWNER, download, build_pod_template(deployment, plan, "1f3a5c7e"))
    return job


def container_of(job: Manifest) -> Manifest:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container


def test_nothing_is_downloaded_without_a_cache():
    assert model_download("r1", make_deployment().spec, make_plan()) is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({}, [NAME], id="the main branch"),
        pytest.param({"revision": COMMIT}, [f"{NAME}@{COMMIT}"], id="a commit"),
        pytest.param(
            {"precision": {"quantization": "AWQ", "checkpoint": "a/b-awq"}},
            ["a/b-awq"],
            id="the quantized checkpoint that is served instead",
        ),
        pytest.param(
            {"loraAdapters": [{"name": "law", "source": "me/law"}, {"name": "more", "source": "me/law"}]},
            [NAME, "me/law"],
            id="adapters, each once",
        ),
    ],
)
def test_what_is_downloaded(spec: dict[str, Any], words: list[str]):
    assert container_of(job_of(**spec))["args"] == words


def test_it_runs_in_the_engines_image_without_a_gpu_and_may_go_where_the_engine_goes():
    pod = job_of(engine={"image": "registry.example/vllm:1"})["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    engine = build_pod_template(make_deployment(), make_plan(), "1f3a5c7e")["spec"]
    terms = engine["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert container["image"] == "registry.example/vllm:1"
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}}
    assert pod["tolerations"] == engine["tolerations"]
    assert preferred == [{"weight": 100, "preference": term} for term in terms]


def test_the_token_is_referenced_and_goes_to_the_download_alone():
    deployment = make_deployment(model={"name": NAME, "storage": TOKEN, "cache": {"claimName": "hub-cache"}})
    engine = build_pod_template(deployment, make_plan(), "1f3a5c7e")["spec"]["containers"][0]
    tokens = [each for each in container_of(job_of(storage=TOKEN))["env"] if each["name"] == "HF_TOKEN"]
    assert tokens == [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}]
    assert "HF_TOKEN" not in {each["name"] for each in engine["env"]}


def test_variables_that_say_how_to_reach_the_hub_are_passed_on_and_no_others():
    env = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}]
    names = {each["name"]: each.get("value") for each in container_of(job_of(engine={"env": env}))["env"]}
    assert names["HTTPS_PROXY"] == "http://proxy:3128"
    assert "VLLM_LOGGING_LEVEL" not in names


def test_the_pod_is_restricted():
    pod = job_of()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]) == (
        True,
        {"type": "RuntimeDefault"},
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_the_name_follows_the_pod_because_a_jobs_pod_can_never_be_changed():
    names = {job["metadata"]["name"] for job in (job_of(), job_of(), job_of(revision=COMMIT), job_of(storage=TOKEN))}
    assert len(names) == 3
    assert all(name.startswith("deepseek-67b-download-") for name in names)


@pytest.mark.parametrize("nodes", [1, 2])
def test_no_service_and_no_budget_selects_its_pods(nodes: int):
    """A budget over pods of a Job could not be counted, and would then stop every drain."""
    split = Parallelism(tensor=8, pipeline=nodes)
    plan = make_plan(nodes_per_replica=nodes, gpus_per_replica=split.world_size, parallelism=split)
    cached = make_deployment(model={"name": NAME, "cache": {"claimName": "hub"}})
    manifests = desired(cached, plan, uid="u", replicas=2, plan_hash="1f3a5c7e")
    labels = next(each for each in manifests if each["kind"] == "Job")["spec"]["template"]["metadata"]["labels"]
    selectors = {
        each["kind"]: each["spec"]["selector"].get("matchLabels") or each["spec"]["selector"]
        for each in manifests
        if "selector" in each.get("spec", {}) and each["spec"].get("clusterIP") != "None"
    }
    assert {"Service", "PodDisruptionBudget"} <= selectors.keys()
    assert [kind for kind, selector in selectors.items() if selector.items() <= labels.items()] == []
