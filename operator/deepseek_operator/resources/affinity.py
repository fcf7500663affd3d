"""Where a pod may run: on the planned GPU product, where the user's own selector and tolerations allow it.

No spreading and no anti-affinity: replicas are packed by the scheduler's own rules, so that whole nodes stay free for
big models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.resources.names import Manifest


def build_node_affinity(gpu: Gpu) -> Manifest:
    """Return the affinity that keeps a pod on the planned GPU product, or ``{}`` when no label names it.

    The label is compared exactly with every spelling that the catalogue knows, sorted. A partitioned or shared
    GPU carries another value (``...-MIG-1g.10gb``, ``...-SHARED``) and is therefore never taken for a whole one.

    Source: the labels of GPU feature discovery, as the catalogue records them.
    """
    if gpu.label_key is None or gpu.label_value is None:
        return {}
    expression = {
        "key": gpu.label_key,
        "operator": "In",
        "values": sorted({gpu.label_value, *gpu.label_variants}),
    }
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def implied_toleration(gpu: Gpu) -> Manifest:
    """Return the one toleration that every model pod gets: the GPU taint named like its resource.

    GPU node pools are commonly tainted ``nvidia.com/gpu:NoSchedule`` to keep other pods away; a pod that asks for
    that very resource is whom the taint waits for (Kubernetes' own ExtendedResourceToleration plugin adds the same).
    Every other taint means what it says and needs ``spec.hardware.tolerations``.
    """
    return {"key": gpu.k8s_resource, "operator": "Exists", "effect": "NoSchedule"}


def build_tolerations(gpu: Gpu, tolerations: Sequence[Mapping[str, object]]) -> list[Manifest]:
    """Return the user's tolerations as written, then the implied one unless the user already wrote it."""
    written = [dict(toleration) for toleration in tolerations]
    implied = implied_toleration(gpu)
    return written if implied in written else [*written, implied]
