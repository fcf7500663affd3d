"""Which shares of GPUs a request may be planned on: what its owner wrote, and what no service level can rest on."""

from __future__ import annotations

from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism, Sharing
from deepseek_operator.planner.request import GpuPool, PlanRequest

NO_SERVICE_LEVEL = {
    ShareMechanism.TIME_SLICING: "time slicing gives the GPU to whoever asks",
    ShareMechanism.MPS: "MPS lets all sharers compute at the same time",
    ShareMechanism.KAI: "KAI places sharers and limits none of them",
    ShareMechanism.DRA: "consumable capacity places sharers and limits none of them",
}
"""Why the speed of a share depends on the other sharers."""


def refused_by_sharing(request: PlanRequest, pool: GpuPool) -> str:
    """Return why ``spec.sharing`` or ``hardware.migProfile`` excludes a pool, or an empty text.

    Auto takes whole GPUs and shares whose memory is isolated; Exclusive whole GPUs only; Shared parts of GPUs only,
    also those whose memory nobody isolates, but these under no service level.
    """
    share = pool.share
    if request.mig_profile and (share is None or share.profile != request.mig_profile):
        return f"hardware.migProfile asks for {request.mig_profile}, and {pool.name} is no such slice"
    if share is None or not share.is_part:
        if request.sharing is Sharing.SHARED:
            return f"{pool.name} is offered whole, and spec.sharing: Shared asks for a part of a GPU"
        return ""
    if request.sharing is Sharing.EXCLUSIVE:
        return f"{pool.name} is a part of a GPU, and spec.sharing: Exclusive asks for whole ones"
    if share.isolates_memory:
        return ""
    if request.sharing is not Sharing.SHARED:
        return f"{pool.name} does not isolate memory, so it is used only with spec.sharing: Shared"
    if request.sla is not None:
        return (
            f"no service level can be promised on {pool.name}, because {NO_SERVICE_LEVEL[share.mechanism]}; leave "
            "spec.sla out, or use whole GPUs, MIG or HAMi"
        )
    return ""


def allowed_pools(request: PlanRequest, pools: list[GpuPool]) -> list[GpuPool]:
    """Return the pools that sharing allows, or all of them where it allows none, so that the refusal names why."""
    allowed = [pool for pool in pools if not refused_by_sharing(request, pool)]
    return allowed or pools


def memory_not_isolated(share: GpuShare | None) -> str:
    """Return what an owner should know of a share whose memory nobody isolates; empty for all others."""
    if share is None or share.isolates_memory:
        return ""
    return (
        f"{share} does not isolate memory: the engine keeps to its share by its own settings, another pod on the GPU "
        "that does not could end it"
    )
