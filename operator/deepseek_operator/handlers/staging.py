"""What of the desired children may be applied now: a workload waits until its weights are where it reads them.

Only a workload that is new or would change waits; one that runs is left alone and keeps serving, and is not pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.handlers.observed import Child
from deepseek_operator.handlers.pod_state import PodState
from deepseek_operator.handlers.situation import Hold
from deepseek_operator.resources.desired import WORKLOADS
from deepseek_operator.resources.download_job import COMPONENT
from deepseek_operator.resources.names import ANNOTATION_TEMPLATE_HASH, LABEL_COMPONENT, Manifest

Children = Mapping[tuple[str, str], Child]

DOWNLOADING = "Downloading"
DOWNLOAD_FAILED = "DownloadFailed"

PREPARING = frozenset({COMPONENT, "cache"})
"""Components that are applied while the workload of before still runs."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What to do now.

    Args:
        manifests: to apply.
        prune: whether what is not desired goes now.
        hold: why the workload waits; None when it does not.
    """

    manifests: list[Manifest]
    prune: bool = True
    hold: Hold | None = None


def changes_pods(manifests: Iterable[Manifest], children: Children) -> bool:
    """Return whether applying would make a workload or change the pods of one."""
    return any(
        (known := children.get((each["kind"], each["metadata"]["name"]))) is None
        or known.template_hash != each["metadata"].get("annotations", {}).get(ANNOTATION_TEMPLATE_HASH, "")
        for each in manifests
        if each["kind"] in WORKLOADS
    )


def staged(
    manifests: Sequence[Manifest], children: Children, pods: Iterable[PodState], problem: Hold | None = None
) -> Stage:
    """Return what to do now.

    Args:
        manifests: everything that is desired, in order.
        children: what exists.
        pods: of the download.
        problem: why nothing may be made, such as a claim that is too small; None when all may.
    """
    if not changes_pods(manifests, children):
        return Stage(manifests=list(manifests))
    if problem is not None:
        return Stage(manifests=[], prune=False, hold=problem)
    downloads = [_download(each, children, pods) for each in manifests if each["kind"] == "Job"]
    hold = next((each for each in downloads if each is not None), None)
    if hold is None:
        return Stage(manifests=list(manifests))
    if any(kind in WORKLOADS for kind, _ in children):
        preparing = [each for each in manifests if each["metadata"]["labels"][LABEL_COMPONENT] in PREPARING]
        return Stage(manifests=preparing, prune=False, hold=hold)
    return Stage(manifests=[each for each in manifests if each["kind"] not in WORKLOADS], hold=hold)


def _download(job: Manifest, children: Children, pods: Iterable[PodState]) -> Hold | None:
    """Return how a download stands; None when it is complete."""
    name = job["metadata"]["name"]
    child = children.get(("Job", name))
    conditions = {each["type"]: each for each in (child.status.get("conditions") or ())} if child else {}
    if conditions.get("Complete", {}).get("status") == "True":
        return None
    pod_spec = job["spec"]["template"]["spec"]
    model = " and ".join(pod_spec["containers"][0]["args"]).replace("$$", "$")
    claim = pod_spec["volumes"][0]["persistentVolumeClaim"]["claimName"]
    what = f"{model} into PersistentVolumeClaim {claim}"
    if (failed := conditions.get("Failed", {})).get("status") == "True":
        message = f"the download of {what} failed: {failed.get('message', '')}; delete Job {name} to try again"
        return Hold(reason=DOWNLOAD_FAILED, message=message, stuck=True)
    if conditions.get("Suspended", {}).get("status") == "True":
        return Hold(reason=DOWNLOADING, message=f"Job {name}, the download of {what}, was suspended by somebody else")
    waiting = next((pod for pod in pods if pod.waiting_reason and not pod.deleting), None)
    if waiting is None:
        return Hold(reason=DOWNLOADING, message=f"Job {name} downloads {what}; the model starts when it is complete")
    return Hold(
        reason=waiting.waiting_reason if waiting.is_stuck else DOWNLOADING,
        message=f"the download of {what} waits; {waiting.says}",
        stuck=waiting.is_stuck,
    )
