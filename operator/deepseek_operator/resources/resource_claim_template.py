"""The ResourceClaimTemplate of a model on nodes whose GPUs are given by claims (dynamic resource allocation, DRA).

The claim names what the plan counted with: the product, the MIG profile, the memory. A reference to an attribute that a
device lacks would abort the allocation of the whole pod, so the driver is asked first and each name is looked for.
"""

from __future__ import annotations

from deepseek_operator.api.v1alpha1 import GROUP
from deepseek_operator.catalog.gpus import Gpu, gpu
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.planner.result import Plan
from deepseek_operator.resources.names import Manifest, Owner, metadata, object_name
from deepseek_operator.units import MIB

NVIDIA_DRIVER = "gpu.nvidia.com"
GPU_CLASS = "gpu.nvidia.com"
MIG_CLASS = "mig.nvidia.com"
"""Driver and device classes. Source: kubernetes-sigs/dra-driver-nvidia-gpu, Helm chart ``deviceclasses.yaml``."""

REQUEST_NAME = "gpu"
"""The request in the claim, and the claim in the pod."""

ANNOTATION_CLAIMED_GPUS = f"{GROUP}/claimed-gpus"
"""On pods: devices of their claim, which the claim's template tells but the pod itself does not."""


def claim_template_name(owner: str, plan_hash: str) -> str:
    """Return the name: another plan has another template, because the API allows no change of one.

    So what is written here for a plan stays as it is, also in later versions.
    """
    return object_name(owner, f"gpu-{plan_hash}")


def takes_claim(share: GpuShare | None) -> bool:
    """Return whether pods get their GPUs by a claim."""
    return share is not None and share.mechanism is ShareMechanism.DRA


def build_resource_claim_template(owner: Owner, plan: Plan, plan_hash: str) -> Manifest | None:
    """Return the template of the claim that each pod of a plan has; None where pods ask for resources.

    Args:
        owner: the DeepSeekDeployment.
        plan: its accepted plan.
        plan_hash: of the plan.

    Source: ``resource.k8s.io/v1`` of Kubernetes 1.34; consumable capacity as in 1.36.
    """
    share = plan.share
    if share is None or not takes_claim(share):
        return None
    exactly: Manifest = {
        "deviceClassName": MIG_CLASS if share.profile else GPU_CLASS,
        "selectors": [{"cel": {"expression": device_expression(gpu(plan.gpu), share)}}],
        "allocationMode": "ExactCount",
        "count": plan.gpus_per_replica // plan.nodes_per_replica,
    }
    if share.slices_per_gpu > 1 and not share.profile:
        exactly["capacity"] = {"requests": {"memory": f"{share.memory_bytes // MIB}Mi"}}
    meta = metadata(owner)
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": meta | {"name": claim_template_name(owner.name, plan_hash)},
        "spec": {"spec": {"devices": {"requests": [{"name": REQUEST_NAME, "exactly": exactly}]}}},
    }


def device_expression(product: Gpu, share: GpuShare) -> str:
    """Return the CEL expression that a device must satisfy.

    Args:
        product: the planned product; its names of node labels, which have dashes for spaces, are compared.
        share: of the plan.
    """
    values = sorted(filter(None, (product.label_value, *product.label_variants)))
    attributes, capacity = f"device.attributes['{NVIDIA_DRIVER}']", f"device.capacity['{NVIDIA_DRIVER}']"
    names = ", ".join(f"'{value}'" for value in values)
    kind = ("profile", share.profile) if share.profile else ("type", "gpu")
    least = share.memory_bytes // MIB
    parts = [
        f"device.driver == '{NVIDIA_DRIVER}'",
        f"'productName' in {attributes}",
        f"{attributes}.productName.replace(' ', '-') in [{names}]",
        f"'{kind[0]}' in {attributes}",
        f"{attributes}.{kind[0]} == '{kind[1]}'",
        f"'memory' in {capacity}",
        f"{capacity}.memory.compareTo(quantity('{least}Mi')) >= 0",
    ]
    return " && ".join(parts)
