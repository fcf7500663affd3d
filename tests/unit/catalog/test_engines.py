from __future__ import annotations

import pytest

from deepseek_operator.catalog.batch_limits import BatchLimits, default_batch_limits
from deepseek_operator.catalog.engines import EngineRelease, engine_flags, engine_release, engine_releases
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.errors import UnknownEngineReleaseError
from deepseek_operator.units import GIB


def test_vllm_release():
    release = engine_release("vllm", "0.32.0")
    assert (release.gpu_memory_utilization_percent, release.block_size) == (92, 16)
    assert release.image("nvidia") == "vllm/vllm-openai:v0.32.0"
    assert release.image("amd") == "vllm/vllm-openai-rocm:v0.32.0"
    assert set(release.image_notes) == set(release.images) == set(release.image_digests)


def test_an_image_without_a_known_vendor_is_refused():
    with pytest.raises(UnknownEngineReleaseError, match=r"spec\.engine\.image"):
        engine_release("vllm", "0.32.0").image("intel")


def test_an_unknown_release_is_refused_with_the_known_ones():
    with pytest.raises(UnknownEngineReleaseError, match=r"known are vllm 0\.32\.0"):
        engine_release("vllm", "0.31.0")


@pytest.mark.parametrize(
    ("gpu_id", "total_bytes", "want"),
    [
        pytest.param("b200", 178 * GIB, (16384, 1024), id="at least 160 GiB"),
        pytest.param("b200", 160 * GIB, (16384, 1024), id="exactly 160 GiB"),
        pytest.param("h200-sxm", 139 * GIB, (8192, 1024), id="at least 70 GiB"),
        pytest.param("a800-sxm4-80gb", 79 * GIB, (8192, 1024), id="A800 is no A100 to the engine"),
        pytest.param("a100-sxm4-80gb", 79 * GIB, (2048, 256), id="A100 is named an exception"),
        pytest.param("h100-sxm5-80gb", 70 * GIB - 1, (2048, 256), id="just below 70 GiB"),
        pytest.param("l4", 22 * GIB, (2048, 256), id="small"),
    ],
)
def test_batch_limits_of_a_silent_user(gpu_id: str, total_bytes: int, want: tuple[int, int]):
    limits = BatchLimits(max_num_batched_tokens=want[0], max_num_seqs=want[1])
    assert default_batch_limits(total_bytes, gpu_id, "0.32.0") == limits


@pytest.mark.parametrize(
    ("release", "gpu_id", "total_bytes", "want"),
    [
        pytest.param("0.28.0", "b200", 178 * GIB, (16384, 1024), id="the first with a class of its own"),
        pytest.param("0.27.1", "b200", 178 * GIB, (8192, 1024), id="the last without"),
        pytest.param("v0.9.0", "a100-sxm4-80gb", 79 * GIB, (2048, 256), id="the first that excepts the A100"),
        pytest.param("0.8.5", "a100-sxm4-80gb", 79 * GIB, (8192, 1024), id="the last that does not"),
        pytest.param("0.7.1", "l4", 22 * GIB, (2048, 256), id="older than what was read"),
    ],
)
def test_batch_limits_are_those_of_the_release(release: str, gpu_id: str, total_bytes: int, want: tuple[int, int]):
    limits = BatchLimits(max_num_batched_tokens=want[0], max_num_seqs=want[1])
    assert default_batch_limits(total_bytes, gpu_id, release) == limits


def test_a_release_that_is_no_number_is_refused():
    with pytest.raises(UnknownEngineReleaseError, match="write a number such as"):
        default_batch_limits(79 * GIB, "l4", "newest")


@pytest.mark.parametrize(
    ("gpu_id", "max_num_seqs", "count", "largest"),
    [
        pytest.param("h100-sxm5-80gb", 1024, 3 + 31 + 17, 512, id="512 on Hopper"),
        pytest.param("b300", 1024, 3 + 31 + 49, 1024, id="1024 on datacenter Blackwell"),
        pytest.param("rtx-5090", 1024, 3 + 31 + 17, 512, id="512 on consumer Blackwell"),
        pytest.param("h100-sxm5-80gb", 64, 3 + 16, 128, id="twice the sequences"),
        pytest.param("h100-sxm5-80gb", 1, 2, 2, id="one request"),
    ],
)
def test_cuda_graph_sizes(gpu_id: str, max_num_seqs: int, count: int, largest: int):
    capability = gpu(gpu_id).compute_capability
    assert capability is not None
    sizes = engine_release("vllm", "0.32.0").capture_sizes(max_num_seqs, datacenter_blackwell=capability[0] == 10)
    assert (len(sizes), max(sizes), list(sizes)) == (count, largest, sorted(set(sizes)))


@pytest.mark.parametrize("release", engine_releases(), ids=lambda release: f"{release.engine} {release.version}")
def test_every_release_has_its_flag_table(release: EngineRelease):
    flags = engine_flags(release.engine, release.version)
    assert len(flags) == 406
    assert list(flags) == sorted(flags)


def test_flags_keep_what_checking_needs():
    flags = engine_flags("vllm", "0.32.0")
    assert flags["--device-memory-utilization"] is flags["--gpu-memory-utilization"]
    assert (flags["--gpu-memory-utilization"].takes_value, flags["--gpu-memory-utilization"].default) == (True, 0.92)
    assert "fp8" in flags["--kv-cache-dtype"].choices
    assert flags["--no-enforce-eager"] is flags["--enforce-eager"]
    assert not flags["--enforce-eager"].takes_value
    assert flags["--cudagraph-capture-sizes"].takes_many
    assert "--swap-space" not in flags
    assert "--tensor-parallel" not in flags
