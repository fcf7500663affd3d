"""Which nodes are interruptible: the labels and taints that clouds and node provisioners put on spot capacity."""

from __future__ import annotations

from collections.abc import Mapping

SPOT_LABELS = (
    ("cloud.google.com/gke-preemptible", "true"),
    ("cloud.google.com/gke-spot", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
"""Label and value of an interruptible node, sorted.

Source: Google Kubernetes Engine, "Spot VMs" and "Preemptible VMs"; Amazon EKS, "Managed node group capacity types";
Karpenter, "Well-known labels"; Azure Kubernetes Service, "Add an Azure Spot node pool".
"""

SPOT_TAINTS = (
    ("cloud.google.com/gke-preemptible", "true"),
    ("cloud.google.com/gke-spot", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
"""Key and value of the ``NoSchedule`` taints that keep pods off interruptible nodes unless they ask for them, sorted.

Azure puts its own on every spot pool. Google's documentation gives the two others; node auto-provisioning adds them by
itself. Amazon EKS and Karpenter add none. Source: Azure Kubernetes Service, "Add an Azure Spot node pool"; Google
Kubernetes Engine, "Spot VMs" and "Preemptible VMs" (sections on taints and tolerations).
"""


def spot_label(labels: Mapping[str, str]) -> str:
    """Return the label that says that a node is interruptible, as ``key=value``; empty when none does.

    >>> spot_label({"karpenter.sh/capacity-type": "spot"}), spot_label({"karpenter.sh/capacity-type": "on-demand"})
    ('karpenter.sh/capacity-type=spot', '')
    """
    return next((f"{key}={value}" for key, value in SPOT_LABELS if labels.get(key) == value), "")
