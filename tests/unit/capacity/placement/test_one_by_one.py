"""Pods placed as they come: where the least of the free GPUs becomes useless."""

from __future__ import annotations

import pytest

from deepseek_operator.capacity.placement.one_by_one import GRADIENT_ALONE, OneByOne
from deepseek_operator.capacity.placement.problem import PodShape, Room, Spot

HALF = PodShape(gpus=1, gpu_milli=500, cpu_milli=1000)
ONE = PodShape(gpus=1, gpu_milli=1000, cpu_milli=1000)
TWO = PodShape(gpus=2, gpu_milli=1000, cpu_milli=1000)
ONLY_T4 = PodShape(gpus=1, gpu_milli=1000, cpu_milli=1000, products=("t4",))
NO_GPU = PodShape(gpus=0, gpu_milli=0, cpu_milli=1000)


def node(*free_milli: int, product: str = "h100", cpu_milli: int = 64_000) -> Room:
    return Room(product=product, free_milli=free_milli, cpu_milli=cpu_milli, memory_mib=1024)


@pytest.mark.parametrize(
    ("rooms", "expected", "shape", "spot"),
    [
        pytest.param(
            [node(1000, 1000), node(500, 1000)], {HALF: 1, TWO: 1}, HALF, Spot(node=1, gpus=(0,)),
            id="a part goes to the GPU that is begun",
        ),
        pytest.param(
            [node(1000, 1000), node(1000)], {ONE: 1, TWO: 1}, ONE, Spot(node=1, gpus=(0,)),
            id="one GPU spares the node that two need",
        ),
        pytest.param(
            [node(1000, product="t4"), node(1000)], {ONE: 1, ONLY_T4: 1}, ONE, Spot(node=1, gpus=(0,)),
            id="a pod that may go anywhere spares the product that another needs",
        ),
        pytest.param(
            [node(1000), node(1000, product="t4")], {ONLY_T4: 1}, ONLY_T4, Spot(node=1, gpus=(0,)),
            id="a product that is asked for",
        ),
        pytest.param(
            [node(1000, cpu_milli=1000), node(cpu_milli=1000, product="")], {ONE: 1, NO_GPU: 1}, NO_GPU,
            Spot(node=1, gpus=()), id="a pod without GPU leaves the CPU beside GPUs alone",
        ),
        pytest.param([node(500, 500)], {ONE: 1}, ONE, None, id="two halves are no whole GPU"),
        pytest.param([node(1000, cpu_milli=999)], {ONE: 1}, ONE, None, id="too little CPU"),
        pytest.param([], {ONE: 1}, ONE, None, id="no nodes"),
    ],
)  # fmt: skip
def test_place(rooms: list[Room], expected: dict[PodShape, float], shape: PodShape, spot: Spot | None) -> None:
    assert OneByOne(rooms, expected).place(shape) == spot


def test_what_is_taken_is_gone() -> None:
    placer = OneByOne([node(1000, 1000)], {ONE: 1})
    assert [placer.place(ONE) for _ in range(3)] == [Spot(node=0, gpus=(0,)), Spot(node=0, gpus=(1,)), None]


def test_the_gradient_alone_takes_cpu_that_other_gpus_need() -> None:
    """Another such pod fits either node afterwards, but on the first the last GPU would find no CPU."""
    hungry = PodShape(gpus=1, gpu_milli=1000, cpu_milli=6000)
    rooms = [node(1000, 1000, 1000, cpu_milli=13_000), node(1000, 1000, 1000, cpu_milli=18_000)]
    small = PodShape(gpus=1, gpu_milli=1000, cpu_milli=2000)
    expected = {hungry: 1.0, small: 1.0}
    assert OneByOne(rooms, expected, GRADIENT_ALONE).place(hungry) == Spot(node=0, gpus=(0,))
    assert OneByOne(rooms, expected).place(hungry) == Spot(node=1, gpus=(0,))


def test_a_shape_that_was_not_expected_is_refused() -> None:
    with pytest.raises(KeyError):
        OneByOne([node(1000)], {ONE: 1}).place(TWO)
