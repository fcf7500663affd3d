"""Releases of the Triton Inference Server and the vLLM inside them, as far as that was found."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from deepseek_operator.catalog.data_files import read_json


@dataclass(frozen=True, kw_only=True)
class TritonRelease:
    """One release of Triton's container with the vLLM backend.

    Args:
        version: of the container, year and month, such as ``26.03``.
        vllm: release of vLLM inside; empty where no source says it.
        image: name and tag.
        source: where it was read.
    """

    version: str
    vllm: str
    image: str
    source: str


@functools.cache
def triton_releases() -> tuple[TritonRelease, ...]:
    """Return every recorded release, oldest first."""
    content = read_json("triton_releases.json")
    pattern, rows = content["image"], content["releases"]
    if not isinstance(rows, list) or not isinstance(pattern, str):
        raise TypeError("triton_releases.json holds no list of releases")
    return tuple(
        TritonRelease(
            version=row["triton"],
            vllm=row["vllm"],
            image=pattern.format(triton=row["triton"]),
            source=row["source"],
        )
        for row in rows
    )


def triton_image(vllm: str) -> str:
    """Return the newest image that is known to hold a release of vLLM; empty when none is.

    >>> triton_image("0.17.1"), triton_image("0.32.0")
    ('nvcr.io/nvidia/tritonserver:26.03-vllm-python-py3', '')
    """
    return next((release.image for release in reversed(triton_releases()) if release.vllm == vllm), "")
