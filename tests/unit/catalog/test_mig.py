"""MIG profiles: how large they are and how many of them a GPU holds."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction

import pytest

from deepseek_operator.catalog.data_files import read_text
from deepseek_operator.catalog.gpus import gpu, gpus
from deepseek_operator.catalog.mig import mig_profile
from deepseek_operator.errors import UnknownMigProfileError

COUNTED = [
    (row["id"], name, int(most))
    for row in csv.DictReader(io.StringIO(read_text("gpus.csv")))
    for name, most in re.findall(r"(\d+g\.\d+gb[a-z0-9.+-]*) x(\d+)", re.sub(r"\([^)]*\)", "", row["mig_profiles"]))
]
"""Product, profile and how many of it mig-parted's configuration makes of one GPU."""


@pytest.mark.parametrize(("gpu_id", "name", "most"), COUNTED)
def test_as_many_slices_as_the_vendors_configuration_makes(gpu_id: str, name: str, most: int):
    assert mig_profile(gpu(gpu_id), name).most_per_gpu == most


def test_slices_never_have_more_than_the_gpu():
    for product in gpus():
        for name in product.mig_profiles:
            profile = mig_profile(product, name)
            assert profile.most_per_gpu * profile.memory_share <= 1
            assert profile.most_per_gpu * profile.compute_share <= 1
            assert 0 < profile.gpu_share <= 1


@pytest.mark.parametrize(
    ("gpu_id", "name", "memory", "compute", "of_gpu"),
    [
        ("a100-sxm4-40gb", "1g.5gb", "1/8", "4/33", "1/7"),
        ("h100-sxm5-80gb", "1g.20gb", "1/4", "13/66", "1/4"),
        ("h200-sxm", "4g.71gb", "1/2", "16/33", "4/7"),
        ("b200", "7g.180gb", "1", "1", "1"),
        ("a30", "2g.12gb", "1/2", "1/2", "1/2"),
        ("rtx-pro-6000-server", "1g.24gb", "1/4", "1/4", "1/4"),
    ],
)
def test_how_much_of_a_gpu_a_slice_is(gpu_id: str, name: str, memory: str, compute: str, of_gpu: str):
    profile = mig_profile(gpu(gpu_id), name)
    assert (profile.memory_share, profile.compute_share, profile.gpu_share) == (
        Fraction(memory),
        Fraction(compute),
        Fraction(of_gpu),
    )


def test_a_profile_that_the_product_lacks_is_refused_with_those_that_it_has():
    with pytest.raises(UnknownMigProfileError) as refused:
        mig_profile(gpu("a30"), "3g.40gb")
    assert str(refused.value) == (
        "unknown MIG profile '3g.40gb'; a30 can be cut into 1g.6gb, 1g.6gb+me, 2g.12gb, 2g.12gb+me, 4g.24gb"
    )


def test_a_product_without_mig_says_so():
    with pytest.raises(UnknownMigProfileError, match="l40s cannot be cut into slices, as far as the catalogue knows"):
        mig_profile(gpu("l40s"), "1g.10gb")
