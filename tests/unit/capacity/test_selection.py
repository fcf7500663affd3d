from __future__ import annotations

import pytest

from cluster_objects import gpu_node
from deepseek_operator.api.spec_hardware import Spot
from deepseek_operator.capacity.facts import Taint, read_node
from deepseek_operator.capacity.inventory import node_inventory
from deepseek_operator.capacity.selection import is_tolerated, why_excluded

TAINT = Taint(key="team", value="ml", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        pytest.param({"key": "team", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}, True, id="all equal"),
        pytest.param({"key": "team", "value": "ml"}, True, id="no operator means Equal and no effect means every one"),
        pytest.param({"key": "team", "operator": "Exists"}, True, id="Exists does not look at the value"),
        pytest.param({"operator": "Exists"}, True, id="Exists without key tolerates everything"),
        pytest.param({"operator": "Exists", "effect": "NoExecute"}, False, id="everything of another effect"),
        pytest.param({"key": "team", "value": "web"}, False, id="another value"),
        pytest.param({"key": "team"}, False, id="Equal without value means the empty value"),
        pytest.param({"key": "tea", "operator": "Exists"}, False, id="a prefix of the key"),
        pytest.param({"key": "team", "operator": "Exists", "effect": "NoExecute"}, False, id="another effect"),
        pytest.param({"key": "team", "operator": "Gt", "value": "1"}, False, id="an operator that is not known"),
        pytest.param({"key": None, "operator": "Exists", "effect": None}, True, id="null is absent"),
    ],
)
def test_is_tolerated(toleration: dict[str, object], tolerated: bool):
    assert is_tolerated(TAINT, [{"key": "other", "operator": "Exists"}, toleration]) is tolerated


@pytest.mark.parametrize(
    ("taint", "selector", "tolerations", "reason"),
    [
        pytest.param(None, {}, [], "", id="a plain node"),
        pytest.param(None, {"pool": "gold"}, [], "", id="a label that it carries"),
        pytest.param(None, {"pool": "Gold"}, [], "it is not labelled pool=Gold", id="another value of the label"),
        pytest.param(None, {"zone": "a", "pool": "gold"}, [], "it is not labelled zone=a", id="one of two missing"),
        pytest.param({"key": "nvidia.com/gpu", "effect": "NoSchedule"}, {}, [], "", id="its own taint is implied"),
        pytest.param(
            {"key": "nvidia.com/gpu", "value": "x", "effect": "NoExecute"},
            {},
            [],
            "its taint nvidia.com/gpu=x:NoExecute is not tolerated",
            id="but not when it evicts",
        ),
        pytest.param({"key": "team", "effect": "PreferNoSchedule"}, {}, [], "", id="a taint that only asks"),
        pytest.param(
            {"key": "team", "value": "ml", "effect": "NoSchedule"},
            {},
            [],
            "its taint team=ml:NoSchedule is not tolerated",
            id="a taint of somebody else",
        ),
        pytest.param(
            {"key": "team", "value": "ml", "effect": "NoSchedule"},
            {},
            [{"key": "team", "value": "ml"}],
            "",
            id="a taint that the user tolerates",
        ),
    ],
)
def test_why_excluded(
    taint: dict[str, str] | None, selector: dict[str, str], tolerations: list[dict[str, object]], reason: str
):
    node = gpu_node("n", more_labels={"pool": "gold"}, taints=(taint,) if taint else ())
    assert why_excluded(node_inventory(read_node(node), []), selector, tolerations) == reason


def test_a_cordoned_node_is_excluded_even_where_everything_is_tolerated():
    node = node_inventory(read_node(gpu_node("n", unschedulable=True)), [])
    assert why_excluded(node, {}, [{"operator": "Exists"}]) == "it is cordoned"


@pytest.mark.parametrize(
    ("labels", "spot", "reason"),
    [
        pytest.param({}, Spot.NEVER, "", id="a lasting node where interruptible ones are refused"),
        pytest.param(
            {"eks.amazonaws.com/capacityType": "SPOT"},
            Spot.NEVER,
            "it is interruptible (eks.amazonaws.com/capacityType=SPOT) and spec.hardware.spot is Never",
            id="an interruptible node where they are refused",
        ),
        pytest.param({"cloud.google.com/gke-spot": "true"}, Spot.ALLOW, "", id="an interruptible node where allowed"),
        pytest.param({"cloud.google.com/gke-spot": "true"}, Spot.ONLY, "", id="an interruptible node where required"),
        pytest.param(
            {"karpenter.sh/capacity-type": "on-demand"},
            Spot.ONLY,
            "no label says that it is interruptible and spec.hardware.spot is Only",
            id="a lasting node where interruptible ones are required",
        ),
    ],
)
def test_interruptible_nodes(labels: dict[str, str], spot: Spot, reason: str):
    node = node_inventory(read_node(gpu_node("n", more_labels=labels)), [])
    assert why_excluded(node, {}, [], spot) == reason


@pytest.mark.parametrize(
    ("spot", "reason"),
    [
        pytest.param(Spot.NEVER, "its taint kubernetes.azure.com/scalesetpriority=spot:NoSchedule is not tolerated"),
        pytest.param(Spot.ALLOW, ""),
        pytest.param(Spot.ONLY, ""),
    ],
)
def test_a_cloud_s_taint_on_spot_nodes_is_tolerated_by_who_may_use_them(spot: Spot, reason: str):
    taint = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    node = gpu_node("n", more_labels={taint["key"]: "spot"}, taints=(taint,))
    assert why_excluded(node_inventory(read_node(node), []), {}, [], spot) == reason
