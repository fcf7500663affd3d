"""Which parts of their GPUs nodes offer, and which nodes contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.capacity.dra import DraDevices
from deepseek_operator.capacity.facts import NodeFacts
from deepseek_operator.capacity.hami import HamiNode, loaded_hami
from deepseek_operator.capacity.inventory import inventory
from deepseek_operator.capacity.node_shares import ShareOffer
from deepseek_operator.capacity.supply import supply
from deepseek_operator.catalog.gpu_rows import usable_bytes_from_label
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.planner.gpu_share import GpuShare, ShareMechanism
from deepseek_operator.units import MIB
from share_nodes import hami_node, inventory_of, mig_node, only_node, share_pod, single_mig_node, sliced_node

L40S_BYTES = gpu("l40s").usable_memory_bytes
assert L40S_BYTES is not None


def mig_offer(profile: str, mib: int, most: int, slices: int, resource: str = "") -> ShareOffer:
    share = GpuShare(
        mechanism=ShareMechanism.MIG,
        resource=resource or f"nvidia.com/mig-{profile.replace('+', '.')}",
        profile=profile,
        slices_per_gpu=most,
        memory_bytes=usable_bytes_from_label(mib),
    )
    return ShareOffer(share=share, slices=slices)


def replicas_offer(mechanism: ShareMechanism, replicas: int, slices: int, resource: str) -> ShareOffer:
    assert L40S_BYTES is not None
    share = GpuShare(
        mechanism=mechanism, resource=resource, slices_per_gpu=replicas, memory_bytes=L40S_BYTES // replicas
    )
    return ShareOffer(share=share, slices=slices)


@pytest.mark.parametrize(
    ("node", "offers"),
    [
        pytest.param(
            mig_node("n", {"3g.40gb": 8, "1g.10gb": 24}),
            (mig_offer("3g.40gb", 40448, 2, 8), mig_offer("1g.10gb", 9984, 7, 24)),
            id="MIG mixed: a resource and a memory label for each profile",
        ),
        pytest.param(
            mig_node("n", {"1g.10gb.me": 8, "3g.40gb": 0}),
            (mig_offer("1g.10gb+me", 9984, 1, 8),),
            id="a plus sign is a dot in resource names, and profiles of which there are none do not count",
        ),
        pytest.param(
            single_mig_node("n"),
            (mig_offer("1g.10gb", 9984, 7, 56, "nvidia.com/gpu"),),
            id="MIG single: slices under the name of GPUs",
        ),
        pytest.param(
            sliced_node("n"),
            (replicas_offer(ShareMechanism.TIME_SLICING, 4, 32, "nvidia.com/gpu"),),
            id="time slicing multiplies allocatable",
        ),
        pytest.param(
            sliced_node("n", offered=28),
            (replicas_offer(ShareMechanism.TIME_SLICING, 4, 28, "nvidia.com/gpu"),),
            id="an unhealthy GPU takes its replicas with it",
        ),
        pytest.param(
            sliced_node("n", replicas=2, strategy="mps"),
            (replicas_offer(ShareMechanism.MPS, 2, 16, "nvidia.com/gpu"),),
            id="MPS",
        ),
    ],
)
def test_what_nodes_offer(node: dict[str, Any], offers: tuple[ShareOffer, ...]):
    found = only_node(node)
    assert (found.shares, found.allocatable_gpus, found.plannable, found.warnings) == (offers, 0, False, ())


def test_renamed_replicas_keep_the_plain_product_label():
    node = sliced_node("n", **{"nvidia.com/gpu.product": "NVIDIA-L40S"})
    node["status"]["allocatable"] = {"nvidia.com/gpu.shared": "32", "nvidia.com/gpu": "0"}
    assert only_node(node).shares == (replicas_offer(ShareMechanism.TIME_SLICING, 4, 32, "nvidia.com/gpu.shared"),)


def test_hami_offers_whole_gpus_and_every_fraction_up_to_its_own_limit():
    found = only_node(hami_node("n", splits=3))
    assert [(str(offer.share), offer.slices, offer.share.memory_bytes) for offer in found.shares] == [
        ("HAMi", 8, L40S_BYTES),
        ("HAMi 1/2", 16, L40S_BYTES // 2),
        ("HAMi 1/3", 24, L40S_BYTES // 3),
    ]
    assert found.physical_gpus == 8


def test_memory_that_hami_gives_away_twice_is_not_believed():
    assert only_node(hami_node("n", mib=92136)).shares[0].share.memory_bytes == L40S_BYTES


def test_memory_that_hami_keeps_back_is_not_planned():
    assert only_node(hami_node("n", mib=40000)).shares[0].share.memory_bytes == 40000 * MIB


@pytest.mark.parametrize(
    ("node", "why"),
    [
        pytest.param(
            mig_node("n", {"3g.40gb": 8}, more_labels={"nvidia.com/mig-3g.40gb.memory": ""}),
            "no label tells the memory of its slices 3g.40gb",
            id="MIG without memory labels",
        ),
        pytest.param(
            mig_node("n", {"3g.71gb": 8}),
            "unknown MIG profile '3g.71gb'; h100-sxm5-80gb can be cut into 1g.10gb, 1g.10gb+me, 1g.20gb, 2g.20gb, "
            "3g.40gb, 4g.40gb, 7g.80gb",
            id="a profile of another product: the label is stale, or two products share the node",
        ),
        pytest.param(
            single_mig_node("n", profile="INVALID"),
            "unknown MIG profile 'INVALID'; h100-sxm5-80gb can be cut into 1g.10gb, 1g.10gb+me, 1g.20gb, 2g.20gb, "
            "3g.40gb, 4g.40gb, 7g.80gb",
            id="feature discovery found GPUs cut differently",
        ),
        pytest.param(
            single_mig_node("n", **{"nvidia.com/gpu.count": "28"}),
            "it offers 56 nvidia.com/gpu but its label counts 28 slices",
            id="more slices than the label counts",
        ),
        pytest.param(
            single_mig_node("n", **{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED"}),
            "its MIG slices are shared once more, which nothing is planned on",
            id="slices of slices",
        ),
        pytest.param(
            sliced_node("n", strategy="none"),
            "no label says how they are shared (nvidia.com/gpu.sharing-strategy)",
            id="a suffix without a strategy",
        ),
        pytest.param(
            sliced_node("n", replicas=1, offered=8),
            "no label says among how many (nvidia.com/gpu.replicas)",
            id="a suffix with one replica",
        ),
        pytest.param(
            sliced_node("n", offered=40),
            "it offers 40 nvidia.com/gpu but its labels say 8 GPUs with 4 replicas each",
            id="more than the labels explain",
        ),
        pytest.param(
            sliced_node("n", offered=8),
            "it offers 8 nvidia.com/gpu but its labels say 8 GPUs with 4 replicas each",
            id="labels from before sharing was switched off",
        ),
        pytest.param(
            sliced_node("n", offered=0), "its device plugin offers no nvidia.com/gpu", id="a plugin that is down"
        ),
        pytest.param(
            sliced_node("n", **{"nvidia.com/gpu.product": "NVIDIA-L40S"}),
            "pods that look for such a share would not find its label 'NVIDIA-L40S'",
            id="a product label without the suffix that replicas give it",
        ),
        pytest.param(
            sliced_node("n", **{"nvidia.com/gpu.memory": "23034"}),
            "its label gives 21.4 GiB per GPU where l40s has 44.3 GiB, so it is a slice, a vGPU or another product",
            id="half the memory",
        ),
        pytest.param(
            hami_node("n", offered=8),
            "it offers 8 nvidia.com/gpu but HAMi registers 8 GPUs for 10 pods each, as when its annotation is stale",
            id="an annotation that HAMi left behind",
        ),
        pytest.param(
            hami_node("n", offered=96),
            "it offers 96 nvidia.com/gpu but HAMi registers 8 GPUs for 10 pods each, as when its annotation is stale",
            id="more than HAMi explains",
        ),
        pytest.param(
            hami_node("n", mode="mig"),
            "HAMi registers no healthy GPU that it divides by its own hook",
            id="HAMi in MIG mode",
        ),
        pytest.param(
            hami_node("n", health=False),
            "HAMi registers no healthy GPU that it divides by its own hook",
            id="no healthy GPU",
        ),
    ],
)
def test_nodes_that_contradict_themselves_are_listed_with_the_contradiction(node: dict[str, Any], why: str):
    found = only_node(node)
    assert (found.shares, found.allocatable_gpus) == ((), 0)
    assert found.warnings[-1].startswith("nothing is planned on it: ")
    assert found.warnings[-1].endswith(f"; {why}")


def test_a_register_with_more_gpus_than_the_label_counts():
    node = hami_node("n")
    node["metadata"]["labels"]["nvidia.com/gpu.count"] = "4"
    assert only_node(node).warnings[-1].endswith("; HAMi registers 8 GPUs but its label counts 4")


def test_an_annotation_that_is_no_register():
    node = hami_node("n")
    node["metadata"]["annotations"]["hami.io/node-nvidia-register"] = "[{]"
    assert only_node(node).warnings[-1].endswith("; its annotation of HAMi cannot be read")


@pytest.mark.parametrize(
    "device",
    [
        '{"count":1e999,"devmem":46068,"health":true}',
        '{"count":10,"devmem":7,"health":true}',
        '{"count":10,"devmem":-1,"health":true}',
        '{"count":-10,"devmem":46068,"health":true}',
    ],
)
def test_numbers_of_hami_that_cannot_be_are_a_problem_of_the_node(device: str):
    node = hami_node("n")
    node["metadata"]["annotations"]["hami.io/node-nvidia-register"] = f"[{device}]"
    (warning,) = only_node(node).warnings
    assert "HAMi" in warning
    assert only_node(node).shares == ()


def test_a_snapshot_with_more_gpus_than_a_node_has_is_a_problem_of_the_node():
    read = loaded_hami({"gpus": 10**18, "splits": 1, "memoryMib": 46068})
    assert read == HamiNode(
        problem="HAMi registers 1000000000000000000 GPUs of 46068 MiB for 1 pods each, which no node has"
    )
    assert loaded_hami({"problem": "its annotation of HAMi cannot be read"}).gpus == 0


def test_more_slices_than_a_node_can_have_are_not_counted_through():
    warning = only_node(mig_node("n", {"1g.10gb": 10**18})).warnings[-1]
    assert warning.endswith("it counts 1,000,000,000,000,000,000 shares of GPUs, and no node has more than 16,384")


def test_more_devices_of_claims_than_a_node_can_have_are_not_counted_through():
    devices = (DraDevices(product="NVIDIA H100 80GB HBM3", memory_bytes=81559 * MIB, count=10**18),)
    (node,) = inventory([NodeFacts(name="n", labels={}, allocatable={}, devices=devices)], []).nodes
    assert node.shares == ()
    assert node.warnings[-1].endswith("shares of GPUs, and no node has more than 16,384")


def test_whole_gpus_beside_mig_slices_are_planned_on_as_well() -> None:
    node = only_node(mig_node("n", {"1g.10gb": 14}, whole=6), share_pod("p", "n", {"nvidia.com/mig-1g.10gb": "1"}))
    assert (node.allocatable_gpus, node.free_gpus, node.plannable, node.warnings) == (6, 6, True, ())
    assert [(each.share.profile, each.slices) for each in node.shares] == [("1g.10gb", 14)]
    pools = supply(inventory_of(mig_node("n", {"1g.10gb": 14}, whole=6))).pools
    assert [(pool.share is None, pool.nodes_by_gpu_count) for pool in pools] == [(True, ((6, 1),)), (False, ((14, 1),))]


def test_slices_of_unknown_memory_leave_the_whole_gpus_usable() -> None:
    node = only_node(mig_node("n", {"1g.12gb": 7}, whole=4))
    assert (node.allocatable_gpus, node.plannable, node.shares) == (4, True, ())
    assert node.warnings[0].startswith("nothing is planned on its MIG slices: unknown MIG profile '1g.12gb'")
