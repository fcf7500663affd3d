"""Right and wrong specs as changes to a small one: the command line and the API server must judge them alike."""

from __future__ import annotations

import copy
from typing import Any

REMOVE = object()
"""In place of a value: the field is left out."""

Changes = dict[str, Any]

SMALL: dict[str, Any] = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "DeepSeekDeployment",
    "metadata": {"name": "small", "namespace": "default"},
    "spec": {
        "model": {"name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"},
        "workload": {"inputTokens": 512, "outputTokens": 128, "maxContextTokens": 4096, "concurrency": 8},
    },
}


def changed(changes: Changes) -> dict[str, Any]:
    """Return the small deployment with fields of its spec changed, each named by its path."""
    made = copy.deepcopy(SMALL)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = made["spec"]
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is REMOVE:
            del target[last]
        else:
            target[last] = copy.deepcopy(value)
    return made


WINDOW = {"name": "night", "start": "0 22 * * *", "durationSeconds": 28800, "minReplicas": 0, "maxReplicas": 1}

BROKEN_RULES: dict[str, tuple[Changes, str, str]] = {
    "concurrency and rate together": (
        {"workload.requestsPerMinute": 60},
        "spec.workload",
        "give exactly one of concurrency and requestsPerMinute",
    ),
    "neither concurrency nor rate": (
        {"workload.concurrency": REMOVE},
        "spec.workload",
        "give exactly one of concurrency and requestsPerMinute",
    ),
    "more tokens than the context holds": (
        {"workload.maxContextTokens": 639},
        "spec.workload.maxContextTokens",
        "inputTokens plus outputTokens must be at most maxContextTokens",
    ),
    "replicas while the operator scales": (
        {"replicas": 1},
        "spec.replicas",
        "the operator owns the number of replicas; remove replicas and use scaling.minReplicas and maxReplicas, "
        "or set scaling.owner to External",
    ),
    "replicas while the operator is named as owner": (
        {"replicas": 2, "scaling": {"owner": "Operator"}},
        "spec.replicas",
        "the operator owns the number of replicas; remove replicas and use scaling.minReplicas and maxReplicas, "
        "or set scaling.owner to External",
    ),
    "more external replicas than money was checked for": (
        {"replicas": 3, "scaling": {"owner": "External", "maxReplicas": 2}},
        "spec.replicas",
        "replicas must be at most scaling.maxReplicas",
    ),
    "a budget that external scaling could pass": (
        {"hardware.maxGpusTotal": 8, "scaling": {"owner": "External"}},
        "spec.scaling",
        "with scaling.owner External, maxGpusTotal and maxCostPerHourUsd need scaling.maxReplicas",
    ),
    "two priorities": (
        {"priority": "High", "priorityClassName": "gold"},
        "spec.priorityClassName",
        "give only one of priority and priorityClassName",
    ),
    "an approval that nobody waits for": (
        {"approvedPlan": "1f3a5c7e"},
        "spec.approvedPlan",
        "approvedPlan belongs to apply: Manual; remove it, or set apply to Manual",
    ),
    "replanning by itself although plans wait for approval": (
        {"apply": "Manual", "replan": "Auto"},
        "spec.replan",
        "replan Auto rolls out plans that apply Manual would have to wait for; change one of them",
    ),
    "quantization under pressure of a lossless deployment": (
        {"memoryPressure": {"action": "Quantize"}},
        "spec.memoryPressure",
        "memoryPressure.action Quantize needs precision.quality NearLossless or Economy, "
        "and precision.quantization Auto",
    ),
    "quantization under pressure of a pinned format": (
        {"memoryPressure": {"action": "Quantize"}, "precision": {"quality": "Economy", "quantization": "FP8"}},
        "spec.memoryPressure",
        "memoryPressure.action Quantize needs precision.quality NearLossless or Economy, "
        "and precision.quantization Auto",
    ),
    "a fallback for a window that does not exist": (
        {"fallbacks": [{"model": "a/b", "when": "Schedule", "schedule": "day"}], "scaling": {"schedules": [WINDOW]}},
        "spec.fallbacks",
        "a fallback's schedule must be the name of one of scaling.schedules",
    ),
    "a fallback by schedule without a window": (
        {"fallbacks": [{"model": "a/b", "when": "Schedule"}]},
        "spec.fallbacks[0].schedule",
        "schedule belongs to when: Schedule, and that trigger needs it",
    ),
    "fewer replicas at most than at least": (
        {"scaling": {"minReplicas": 3, "maxReplicas": 2}},
        "spec.scaling.maxReplicas",
        "minReplicas must be at most maxReplicas",
    ),
    "a window with fewer replicas at most than at least": (
        {"scaling": {"schedules": [WINDOW | {"minReplicas": 2}]}},
        "spec.scaling.schedules[0].maxReplicas",
        "minReplicas must be at most maxReplicas",
    ),
    "zero replicas at least, but never idle": (
        {"scaling": {"minReplicas": 0}},
        "spec.scaling.scaleToZeroAfterSeconds",
        "scaling to zero needs both minReplicas 0 and scaleToZeroAfterSeconds above 0; set both or neither",
    ),
    "idle to zero, but one replica at least": (
        {"scaling": {"scaleToZeroAfterSeconds": 600}},
        "spec.scaling.scaleToZeroAfterSeconds",
        "scaling to zero needs both minReplicas 0 and scaleToZeroAfterSeconds above 0; set both or neither",
    ),
    "windows although another scaler decides": (
        {"scaling": {"owner": "External", "schedules": [WINDOW]}},
        "spec.scaling.owner",
        "with owner External the other scaler decides; leave out scaleToZeroAfterSeconds and schedules",
    ),
    "a rollout that can never begin": (
        {"rollout": {"maxSurge": 0, "maxUnavailable": 0}},
        "spec.rollout",
        "maxSurge and maxUnavailable must not both be 0",
    ),
    "no kind of storage": (
        {"model.storage": {}},
        "spec.model.storage",
        "name exactly one of huggingFace, persistentVolumeClaim, image and hostPath",
    ),
    "two kinds of storage": (
        {"model.storage": {"huggingFace": {}, "hostPath": {"path": "/models"}}},
        "spec.model.storage",
        "name exactly one of huggingFace, persistentVolumeClaim, image and hostPath",
    ),
    "a cache of neither kind": (
        {"model.cache": {"storageClassName": "fast"}},
        "spec.model.cache",
        "give either claimName of an existing claim, or sizeBytes (and storageClassName) of a new one",
    ),
    "a cache of both kinds": (
        {"model.cache": {"claimName": "weights", "sizeBytes": 1000}},
        "spec.model.cache",
        "give either claimName of an existing claim, or sizeBytes (and storageClassName) of a new one",
    ),
    "a cache for weights that are not downloaded": (
        {"model.cache": {"claimName": "weights"}, "model.storage": {"image": {"reference": "registry/model:1"}}},
        "spec.model.cache",
        "cache keeps what is downloaded; leave it out, or use storage.huggingFace",
    ),
    "a quantized checkpoint of unnamed format": (
        {"precision": {"quality": "Economy", "checkpoint": "owner/model-awq"}},
        "spec.precision.quantization",
        "checkpoint names a quantized repository; name its format in quantization",
    ),
    "a toleration that compares nothing with something": (
        {"hardware.tolerations": [{"operator": "Exists", "key": "gpu", "value": "yes"}]},
        "spec.hardware.tolerations[0].value",
        "a toleration with operator Exists has no value; leave value out",
    ),
    "a toleration without a key": (
        {"hardware.tolerations": [{"value": "yes"}]},
        "spec.hardware.tolerations[0].key",
        "a toleration with operator Equal needs a key",
    ),
    "a toleration that ends for a taint that drives nobody out": (
        {"hardware.tolerations": [{"key": "spot", "value": "yes", "tolerationSeconds": 60}]},
        "spec.hardware.tolerations[0].tolerationSeconds",
        "tolerationSeconds needs effect NoExecute",
    ),
    "a node label that cannot exist": (
        {"hardware.nodeSelector": {"not a label": "x"}},
        "spec.hardware.nodeSelector",
        "the keys of nodeSelector must be label keys such as topology.kubernetes.io/zone",
    ),
    "a variable with no value": (
        {"engine.env": [{"name": "A"}]},
        "spec.engine.env[0]",
        "give an environment variable exactly one of value and valueFrom",
    ),
    "a secret on the command line": (
        {"engine.extraArgs": ["--seed=1", "--api_key=sk-1"]},
        "spec.engine.extraArgs",
        "secrets do not belong into extraArgs; use engine.apiKeySecretRef or model.storage.huggingFace.tokenSecretRef",
    ),
    "a draft model for another method": (
        {"engine.speculative": {"method": "MTP", "draftModel": "owner/draft"}},
        "spec.engine.speculative.draftModel",
        "draftModel belongs to method DraftModel, and that method needs it",
    ),
    "a store for an engine that has none": (
        {"engine.kvOffload": {"hostMemoryBytes": 1, "store": {"url": "redis://kv:6379"}}},
        "spec.engine.kvOffload.store",
        "store belongs to backend LMCache",
    ),
    "settings of Triton for another engine": (
        {"engine.triton": {"backend": "VLLM"}},
        "spec.engine.triton",
        "triton belongs to type Triton; set engine.type, or leave triton out",
    ),
    "a TensorRT-LLM engine without its directory": (
        {"engine.type": "Triton", "engine.triton": {"backend": "TensorRTLLM"}},
        "spec.engine.triton.engineDirectory",
        "engineDirectory belongs to backend TensorRTLLM, and that backend needs it",
    ),
    "a method without its draft model": (
        {"engine.speculative": {"method": "DraftModel"}},
        "spec.engine.speculative.draftModel",
        "draftModel belongs to method DraftModel, and that method needs it",
    ),
}
"""What a rule forbids: the changes, the field that the error names and the sentence, word by word."""

OUT_OF_RANGE: dict[str, tuple[Changes, str, str]] = {
    "no prompt at all": ({"workload.inputTokens": 0}, "spec.workload.inputTokens", "must be 1 or more, not 0"),
    "an SLA of 0 ms": (
        {"sla": {"ttftMilliseconds": 0, "tpotMilliseconds": 50}},
        "spec.sla.ttftMilliseconds",
        "must be 1 or more, not 0",
    ),
    "a promise to every single request": (
        {"sla": {"ttftMilliseconds": 900, "tpotMilliseconds": 50, "percentile": 100}},
        "spec.sla.percentile",
        "must be 99 or less, not 100",
    ),
    "no model": ({"model": {}}, "spec.model.name", "is required; name in the catalogue"),
    "no workload": ({"workload": REMOVE}, "spec.workload", "is required; the demand on the whole deployment"),
    "a word in place of a number": (
        {"workload.concurrency": "many"},
        "spec.workload.concurrency",
        "must be a whole number without quotes, not 'many'",
    ),
    "a fraction in place of a whole number": (
        {"workload.concurrency": 1.5},
        "spec.workload.concurrency",
        "must be a whole number, not 1.5",
    ),
    "money as a number": (
        {"hardware.maxCostPerHourUsd": 40},
        "spec.hardware.maxCostPerHourUsd",
        "must be text; put the value in quotes, not 40",
    ),
    "money with a currency": (
        {"hardware.maxCostPerHourUsd": "$40"},
        "spec.hardware.maxCostPerHourUsd",
        "not '$40'; most US dollars per hour of all replicas together",
    ),
    "a class of quality that does not exist": (
        {"precision": {"quality": "Best"}},
        "spec.precision.quality",
        "must be one of Lossless, NearLossless or Economy, not 'Best'",
    ),
    "a priority that does not exist": (
        {"priority": "Urgent"},
        "spec.priority",
        "must be one of Critical, High, Standard, Batch or None, not 'Urgent'",
    ),
    "a GPU by its marketing name": (
        {"hardware.gpus": ["H100 SXM"]},
        "spec.hardware.gpus[0]",
        "'H100 SXM' is no id of the catalogue; did you mean h100-sxm5-80gb?",
    ),
    "more GPU products than are read": (
        {"hardware.gpus": [f"gpu-{number}" for number in range(17)]},
        "spec.hardware.gpus",
        "must have at most 16 entries",
    ),
    "a negative limit of GPUs": ({"hardware.maxGpusTotal": -1}, "spec.hardware.maxGpusTotal", "must be 1 or more"),
    "a hash that is none": (
        {"apply": "Manual", "approvedPlan": "yes"},
        "spec.approvedPlan",
        "hash of the plan (status.proposedPlan.hash) that may run",
    ),
    "a block in place of a list": ({"engine.env": {"A": "b"}}, "spec.engine.env", "must be a list, not a block"),
    "an empty config": ({"model.config": {}}, "spec.model.config", "must have at least 1 entries"),
    "a name that is too long": (
        {"model.name": "x" * 129},
        "spec.model.name",
        "must have at most 128 characters",
    ),
}
"""What a field's own type forbids: the changes, the field that the error names and a part of the sentence."""

ACCEPTED: dict[str, Changes] = {
    "the smallest spec": {},
    "a context that is exactly full": {"workload.maxContextTokens": 640},
    "a rate in place of a concurrency": {"workload.concurrency": REMOVE, "workload.requestsPerMinute": 1},
    "external scaling without a first number": {"scaling": {"owner": "External"}},
    "external scaling at its limit": {"replicas": 2, "scaling": {"owner": "External", "maxReplicas": 2}},
    "external scaling at zero": {"replicas": 0, "scaling": {"owner": "External"}},
    "external scaling with a budget": {
        "scaling": {"owner": "External", "maxReplicas": 2},
        "hardware": {"maxCostPerHourUsd": "40.00", "maxGpusTotal": 16},
    },
    "scaling to zero": {"scaling": {"minReplicas": 0, "scaleToZeroAfterSeconds": 600, "maxReplicas": 1}},
    "a small model at night": {
        "scaling": {"maxReplicas": 4, "schedules": [WINDOW]},
        "fallbacks": [{"model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "when": "Schedule", "schedule": "night"}],
    },
    "an approved plan": {"apply": "Manual", "approvedPlan": "1f3a5c7e"},
    "texts that say nothing": {
        "engine": {"image": "", "extraArgs": [], "env": [], "weightOffloadBytes": 0},
        "precision": {"checkpoint": ""},
        "queueName": "",
        "priorityClassName": "",
        "approvedPlan": "",
        "fallbacks": [],
        "parallelism": {},
        "hardware": {"gpus": [], "nodeSelector": {}},
        "scaling": {"schedules": []},
        "rollout": {"canary": {}},
    },
    "a model of one's own": {
        "model": {
            "name": "our/model",
            "config": {"rope_scaling": {"factor": 40.5, "type": None}, "architectures": ["A"]},
        }
    },
    "everything at once": {
        "model": {
            "name": "deepseek-ai/DeepSeek-R1",
            "revision": "main",
            "servedName": "r1",
            "storage": {"huggingFace": {"tokenSecretRef": {"name": "hub", "key": "token"}}},
            "cache": {"sizeBytes": 10**12, "storageClassName": "nfs"},
            "loraAdapters": [{"name": "support", "source": "owner/adapter", "rank": 32}],
        },
        "sla": {"ttftMilliseconds": 2000, "tpotMilliseconds": 60, "percentile": 99},
        "hardware": {
            "gpus": ["h100-sxm5-80gb"],
            "nodeSelector": {"topology.kubernetes.io/zone": "a", "pool": ""},
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                {"key": "spot", "value": "true", "effect": "NoExecute", "tolerationSeconds": 60},
                {"operator": "Exists"},
            ],
            "maxGpusTotal": 16,
            "maxCostPerHourUsd": "40",
            "spot": "Allow",
        },
        "precision": {"quality": "NearLossless", "quantization": "Auto", "kvCache": "FP8"},
        "parallelism": {"tensor": 8, "pipeline": 2, "data": 1, "expert": True},
        "engine": {
            "type": "VLLM",
            "release": "0.32.0",
            "image": "registry.example/vllm@sha256:00",
            "extraArgs": ["--seed=1"],
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "apiKeySecretRef": {"name": "s", "key": "k"},
            "tlsSecretRef": {"name": "tls"},
            "maxNumSeqs": 64,
            "maxNumBatchedTokens": 8192,
            "gpuMemoryUtilizationPercent": 92,
            "speculative": {"method": "MTP", "tokens": 2},
            "kvOffload": {"hostMemoryBytes": 2**36, "backend": "Native"},
            "weightOffloadBytes": 2**30,
            "startupSeconds": 7200,
            "shutdownSeconds": 30,
        },
        "sharing": "Exclusive",
        "priorityClassName": "gold",
        "queueName": "team-a",
        "networkPolicy": {"fromNamespaces": ["gateway"], "metricsFromNamespaces": ["monitoring"]},
        "scaling": {"owner": "Operator", "minReplicas": 1, "maxReplicas": 4, "scaleToZeroAfterSeconds": 0},
        "fallbacks": [{"model": "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"}],
        "memoryPressure": {"kvCachePercent": 80, "forSeconds": 60, "action": "Quantize"},
        "rollout": {"maxSurge": 1, "maxUnavailable": 0, "canary": {"trafficPercent": 5}},
        "onInfeasible": "DeployNearest",
        "apply": "Auto",
        "replan": "Auto",
    },
}
"""What both must take."""
