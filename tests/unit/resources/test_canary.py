"""The second workload of a trial: its own name and selector, the shared Service, templates that are kept."""

from __future__ import annotations

from kubernetes import client

from deepseek_operator.resources.canary import canary_keys, canary_record, trial_manifests
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.names import Manifest, Owner
from deepseek_operator.resources.template_pin import INPUTS_KEY, TEMPLATE_KEY, kept_template, template_hash
from model_factories import UID, make_deployment, make_plan

OWNER = Owner(name="deepseek-67b", namespace="chat", uid=UID)
BEFORE = desired(make_deployment(), make_plan(), uid=UID, replicas=2, plan_hash="old")
CHANGED = desired(
    make_deployment(model={"name": "deepseek-ai/deepseek-llm-67b-chat", "cache": {"sizeBytes": 2**40}}),
    make_plan(max_num_seqs=32),
    uid=UID,
    replicas=2,
    plan_hash="new",
)
TRIAL = trial_manifests(BEFORE, CHANGED, OWNER, replicas=1)


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def test_both_workloads_run_side_by_side_and_nothing_of_the_first_changes() -> None:
    assert [(each["kind"], each["metadata"]["name"]) for each in TRIAL] == [
        ("ConfigMap", "deepseek-67b-plan"),
        ("PersistentVolumeClaim", "deepseek-67b-cache"),
        ("ConfigMap", "deepseek-67b-download"),
        ("Job", next(each["metadata"]["name"] for each in CHANGED if each["kind"] == "Job")),
        ("Service", "deepseek-67b"),
        ("PodDisruptionBudget", "deepseek-67b"),
        ("Deployment", "deepseek-67b"),
        ("Service", "deepseek-67b-canary"),
        ("Deployment", "deepseek-67b-canary"),
    ]
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        assert named(TRIAL, kind, "deepseek-67b") == named(BEFORE, kind, "deepseek-67b")


def test_the_shared_service_selects_both_and_the_own_one_only_the_change() -> None:
    workload = named(TRIAL, "Deployment", "deepseek-67b-canary")
    labels = workload["spec"]["template"]["metadata"]["labels"]
    shared = named(TRIAL, "Service", "deepseek-67b")["spec"]["selector"]
    own = named(TRIAL, "Service", "deepseek-67b-canary")["spec"]["selector"]
    assert own == {**shared, "deepseek-operator.io/track": "canary"} == workload["spec"]["selector"]["matchLabels"]
    assert own.items() <= labels.items()
    assert workload["spec"]["replicas"] == 1
    client.V1Deployment.model_validate(workload)
    client.V1Service.model_validate(named(TRIAL, "Service", "deepseek-67b-canary"))


def test_a_promotion_gives_everybody_the_template_that_was_tried() -> None:
    data = named(TRIAL, "ConfigMap", "deepseek-67b-plan")["data"]
    proof = named(TRIAL, "Deployment", "deepseek-67b-canary")["metadata"]["annotations"]
    tried = named(CHANGED, "Deployment", "deepseek-67b")["spec"]["template"]
    record = canary_record(data)
    hashed = proof["deepseek-operator.io/template-hash"]
    assert hashed == template_hash(tried)
    assert kept_template(record, record[INPUTS_KEY], hashed) == tried
    assert data[TEMPLATE_KEY] == named(BEFORE, "ConfigMap", "deepseek-67b-plan")["data"][TEMPLATE_KEY]


def test_without_gpus_there_is_no_second_workload_yet() -> None:
    kinds = {(each["kind"], each["metadata"]["name"]) for each in trial_manifests(BEFORE, CHANGED, OWNER, replicas=0)}
    assert kinds.isdisjoint(canary_keys("deepseek-67b"))
