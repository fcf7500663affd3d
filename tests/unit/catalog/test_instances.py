from __future__ import annotations

from decimal import Decimal

import pytest

from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.instances import instance, instances
from deepseek_operator.errors import CatalogError


def test_every_instance_names_a_gpu_of_the_catalogue():
    rows = instances()
    print(f"{len(rows)} instance types")
    assert len(rows) == 110
    for row in rows:
        assert gpu(row.gpu_id).id == row.gpu_id
        assert row.architecture in {"amd64", "arm64"}
        assert row.source


def test_names_are_unique():
    assert len({row.name for row in instances()}) == len(instances())


@pytest.mark.parametrize(
    ("name", "gpu_id", "gpus", "per_gpu"),
    [
        pytest.param("p5.48xlarge", "h100-sxm5-80gb", 8, Decimal("6.88"), id="a plain row"),
        pytest.param("p4d.24xlarge", "a100-sxm4-40gb", 8, Decimal("2.74470525"), id="p4d is the 40 GB A100"),
        pytest.param("p4de.24xlarge", "a100-sxm4-80gb", 8, Decimal("3.43088125"), id="p4de is the 80 GB A100"),
        pytest.param("a2-highgpu-4g", "a100-sxm4-40gb", 4, None, id="one shape of a series, without price"),
        pytest.param("Standard_NC96ads_A100_v4", "a100-pcie-80gb", 4, None, id="price known for one GPU only"),
        pytest.param("Standard_NC80adis_H100_v5", "h100-nvl-94gb", 2, Decimal("7"), id="NVL, at most a pair"),
        pytest.param("g6f.large", "l4", 0, None, id="a fraction of a GPU is no GPU"),
    ],
)
def test_instance(name: str, gpu_id: str, gpus: int, per_gpu: Decimal | None):
    row = instance(name)
    assert (row.gpu_id, row.gpus, row.price_per_gpu_hour_usd) == (gpu_id, gpus, per_gpu)


def test_an_unknown_name_is_refused_with_a_near_one():
    with pytest.raises(CatalogError, match=r"p5\.48xlarge"):
        instance("p5.48xlarg")
