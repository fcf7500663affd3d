"""What Triton cannot do for a spec: one sentence that names the field and what to write instead."""

from __future__ import annotations

import re

from deepseek_operator.api.spec_engine import TritonBackend, TritonSpec
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, DeepSeekDeploymentSpec
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.triton_releases import triton_image, triton_releases
from deepseek_operator.errors import shortened
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.triton import model_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Names of Triton models that are safe as a directory and in a URL. Source: judgement; Triton itself takes any."""


def triton_refusal(plan: Plan, deployment: DeepSeekDeployment) -> str:
    """Return why Triton cannot serve a plan, or "" when it can.

    Args:
        plan: the accepted plan.
        deployment: the parsed object, whose engine is Triton.
    """
    spec = deployment.spec
    triton = spec.engine.triton or TritonSpec()
    if plan.nodes_per_replica > 1:
        return "Triton serves a replica on one node; use spec.engine.type VLLM for a plan that spans several"
    refusals = [*_of_the_server(deployment), *_of_the_image(plan, spec, triton)]
    # Triton keeps GPU memory of its own (a CUDA context, a pool), which no plan counts: here it would be a neighbour's.
    shared = plan.share is not None and not plan.share.isolates_memory
    refusals.append(
        (shared, f"Triton needs GPU memory beside the plan and {plan.share} does not isolate it; {_ISOLATE}")
    )
    if triton.backend is TritonBackend.TENSORRT_LLM:
        refusals += _of_an_engine(plan, spec, triton)
    else:
        refusals.append((plan.parallelism.data > 1, _one_engine(plan)))
    return next((sentence for refused, sentence in refusals if refused), "")


_ISOLATE = "set spec.sharing to Auto, or leave spec.engine.type out"


def _one_engine(plan: Plan) -> str:
    """The backend counts its GPUs as tensor x pipeline. Source: vllm_backend src/model.py, _validate_device_config."""
    return f"Triton's vLLM backend runs one engine and the plan is {plan.parallelism}; set spec.parallelism.data to 1"


_Refusals = list[tuple[bool, str]]


def _of_the_server(deployment: DeepSeekDeployment) -> _Refusals:
    spec = deployment.spec
    return [
        (
            spec.engine.api_key_secret_ref is not None,
            "Triton checks no API keys; leave spec.engine.apiKeySecretRef out and let a gateway check them",
        ),
        (
            spec.engine.tls_secret_ref is not None,
            "Triton's HTTP endpoint has no TLS; leave spec.engine.tlsSecretRef out and end TLS in a gateway",
        ),
        (
            bool(spec.fallbacks),
            "Triton serves a model under one name, and a fallback needs two; leave spec.fallbacks out",
        ),
        (
            not _NAME.fullmatch(model_name(deployment)),
            f"{shortened(model_name(deployment))!r} is no name for a model of Triton; set spec.model.servedName to "
            "letters, digits, dots and dashes",
        ),
    ]


def _of_the_image(plan: Plan, spec: DeepSeekDeploymentSpec, triton: TritonSpec) -> _Refusals:
    if spec.engine.image:
        return []
    if triton.backend is TritonBackend.TENSORRT_LLM:
        return [
            (
                True,
                "a TensorRT-LLM engine runs only in the release that built it; "
                "set spec.engine.image to the Triton image of that release",
            )
        ]
    known = ", ".join(f"{each.version} with {each.vllm}" for each in triton_releases() if each.vllm)
    vendor = gpu(plan.gpu).vendor
    return [
        (vendor != "nvidia", f"Triton's images are for nvidia and the plan uses {plan.gpu}; set spec.engine.image"),
        (
            not triton_image(plan.engine_release),
            f"no Triton release is known to hold vLLM {plan.engine_release} (known: {known}); "
            "set spec.engine.image to an image with both",
        ),
    ]


def _of_an_engine(plan: Plan, spec: DeepSeekDeploymentSpec, triton: TritonSpec) -> _Refusals:
    """Return what a built engine has decided already, so that the spec must say it and the plan cannot differ."""
    engine, split, storage = spec.engine, spec.parallelism, spec.model.storage
    built = "a TensorRT-LLM engine is built for one"
    unread = [
        ("spec.model.loraAdapters", bool(spec.model.lora_adapters)),
        ("spec.engine.extraArgs", bool(engine.extra_args)),
        ("spec.engine.speculative", engine.speculative is not None),
        ("spec.engine.kvOffload", engine.kv_offload is not None),
        ("spec.engine.weightOffloadBytes", engine.weight_offload_bytes > 0),
    ]
    return [
        (
            storage is None or storage.hugging_face is not None,
            "a TensorRT-LLM engine is read from a volume; set spec.model.storage to the one that holds it",
        ),
        (".." in triton.engine_directory.split("/"), "spec.engine.triton.engineDirectory leaves the volume"),
        (
            split.tensor is None or split.pipeline is None,
            f"{built} split; set spec.parallelism.tensor and spec.parallelism.pipeline to it",
        ),
        (len(spec.hardware.gpus) != 1, f"{built} GPU; name it alone in spec.hardware.gpus"),
        (engine.max_num_seqs is None, f"{built} largest batch; set spec.engine.maxNumSeqs to it"),
        (spec.precision.quantization == "Auto", f"{built} precision; set spec.precision.quantization to it"),
        (
            plan.parallelism.data > 1 or plan.parallelism.expert or plan.parallelism.decode_context > 1,
            f"the plan is {plan.parallelism} and the TensorRT-LLM backend serves tensor and pipeline splits; "
            "set spec.parallelism.data to 1 and spec.parallelism.expert to false",
        ),
        *((asked, f"{field} is for vLLM, which the engine is not; leave it out") for field, asked in unread),
    ]
