"""What host memory would make possible for a model that the GPUs cannot hold, how fast at most, and what fits without.

Weights are offloaded only where the owner asks for it; this answers what it would take, so that nobody has to believe a
rumour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.catalog.host_links import HostLink, host_link
from deepseek_operator.catalog.linear_formats import LinearFormat
from deepseek_operator.catalog.models import model_names, shape
from deepseek_operator.catalog.quantizations import NATIVE, named_quantization, quantizations, runs_on
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.memory.estimate import MemoryEstimate, estimate
from deepseek_operator.memory.feed_forward_tensors import FP4_EXPERTS
from deepseek_operator.memory.host_memory import host_memory
from deepseek_operator.memory.offload_need import FittingModel, OffloadNeed, offload_need, what_fits
from deepseek_operator.memory.weights import parameter_counts, stored_format
from deepseek_operator.performance.offload_bound import OffloadBound, offload_bound
from deepseek_operator.planner.parallelism import illegal
from deepseek_operator.units import GIB, ceil_div, format_gib

DISTILLED_PREFIX = "deepseek-ai/DeepSeek-R1-Distill-"
"""Names of the dense models that DeepSeek trained on answers of R1 (model card of deepseek-ai/DeepSeek-R1)."""

DISK = "nvme-pcie-4.0-x4"
"""Disk that the bound assumes for what neither GPU nor host holds; a faster one is rare beside one GPU."""


@dataclass(frozen=True, kw_only=True)
class Offloaded:
    """A model with part of its weights in host memory.

    Args:
        need: what must leave the GPUs.
        host_memory_bytes: what the engine takes of the node for it: weights as they are pinned, and its processes.
        available_bytes: host memory that was asked about; None for as much as is needed.
        bound: speed that cannot be passed; None where a bandwidth is not known.
    """

    product: Gpu
    gpus: int
    quantization: str
    need: OffloadNeed
    host_memory_bytes: int
    available_bytes: int | None
    bound: OffloadBound | None

    @property
    def holds(self) -> bool:
        """Whether GPUs and host memory hold the model together."""
        return self.available_bytes is None or self.host_memory_bytes <= self.available_bytes

    def sentence(self) -> str:
        """Return what is possible, with the numbers and without an end mark."""
        hardware = f"{self.gpus} x {self.product.id}"
        form = "as stored" if self.quantization == NATIVE else f"as {self.quantization}"
        leaves = f"{format_gib(self.need.offloaded_bytes)} of weights leave the GPU{'s' if self.gpus > 1 else ''}"
        takes = f"{leaves} and take {format_gib(self.host_memory_bytes)} of host memory"
        speed = f"; {self.bound.explanation()}" if self.bound else ""
        if self.available_bytes is None:
            per_gpu = ceil_div(ceil_div(self.need.offloaded_bytes, self.gpus), GIB)
            return f"{hardware} with weights in host memory (--cpu-offload-gb {per_gpu}), {form}: {takes}{speed}"
        has = format_gib(self.available_bytes)
        if self.holds:
            return f"with {has} of host memory {hardware} could hold it {form}: {takes}{speed}"
        missing = format_gib(self.host_memory_bytes - self.available_bytes)
        return f"{has} of host memory do not make up for it: {form}, {takes}, {missing} more than there is" + (
            f"; with the rest read from disk {self.bound.explanation()}" if self.bound else ""
        )


def offload_lines(model: ModelShape, answer: MemoryEstimate, product: Gpu) -> tuple[str, ...]:
    """Return what host memory would make possible for an estimate that does not fit, and what fits without it.

    Args:
        model: what was estimated.
        answer: its estimate; one that fits, or that host memory cannot help, has no lines.
        product: the GPUs.
    """
    found = None if answer.fits else offloaded(model, answer, product, None)
    if found is None:
        return ()
    instead = fitting_sentence(smaller_that_fit(model, answer, product), product.id, found.gpus)
    return tuple(line for line in (found.sentence(), instead) if line)


def offloaded(model: ModelShape, answer: MemoryEstimate, product: Gpu, available_bytes: int | None) -> Offloaded | None:
    """Return what offloading would take; None where nothing must leave the GPUs, or where it would not help.

    Args:
        model: what was estimated.
        answer: its estimate with all weights on the GPUs, which does not fit.
        product: the GPUs.
        available_bytes: host memory of the node; None for as much as is needed.
    """
    split, settings = answer.parallelism, answer.settings
    need = offload_need(answer)
    if model.stated_parameters or split.pipeline > 1 or settings.cpu_offload_bytes or not need.offloaded_bytes:
        return None
    moved = replace(settings, cpu_offload_bytes=ceil_div(need.offloaded_bytes, split.world_size))
    capability = product.architecture
    if not estimate(model, split, moved, answer.worst_rank.total_bytes, capability).fits:
        return None
    needed = host_memory(model, split, moved, compute_capability=capability).worst_node.needed_bytes
    return Offloaded(
        product=product,
        gpus=split.world_size,
        quantization=settings.quantization,
        need=need,
        host_memory_bytes=needed,
        available_bytes=available_bytes,
        bound=_bound(model, answer, product, need, 1.0 if available_bytes is None else available_bytes / needed),
    )


def smaller_that_fit(model: ModelShape, answer: MemoryEstimate, product: Gpu) -> tuple[FittingModel, ...]:
    """Return the distilled models that fit where this one does not, most weights first.

    Args:
        model: what does not fit; only smaller ones are returned.
        answer: its estimate, for split, context and batch limits.
        product: the GPUs.
    """
    size = sum(parameter_counts(model).values())
    longest = answer.settings.max_model_len
    candidates = [(name, shape(name)) for name in model_names() if name.startswith(DISTILLED_PREFIX)]
    settings = replace(answer.settings, cpu_offload_bytes=0, num_speculative_tokens=0)
    found: list[FittingModel] = []
    for name, smaller in candidates:
        if sum(parameter_counts(smaller).values()) >= size or smaller.max_position_embeddings < longest:
            continue
        if illegal(smaller, answer.parallelism):
            continue
        found += what_fits(
            [(name, smaller)],
            ladder_on(product, smaller),
            answer.parallelism,
            settings,
            answer.worst_rank.total_bytes,
            product.architecture,
        )
    return tuple(sorted(found, key=lambda each: (-each.memory.worst_rank.weights_bytes, each.name)))


def ladder_on(product: Gpu, model: ModelShape) -> tuple[str, ...]:
    """Return the precisions of the ladder that a product runs a model in, mildest first.

    A precision whose arithmetic the product lacks is left out: it would only be stored that way.
    """
    return tuple(
        rung.name
        for rung in quantizations()
        if runs_on(product, rung, model.stored_precision)
        and (not rung.native_formats or rung.native_formats & product.formats)
    )


def fitting_sentence(found: Iterable[FittingModel], gpu_id: str, gpus: int) -> str:
    """Return the largest model that fits, and the largest that fits as stored; empty when none does."""
    fitting = list(found)
    if not fitting:
        return ""
    shown = [fitting[0], *(each for each in fitting[1:] if each.quantization == NATIVE)][:2]
    if fitting[0].quantization == NATIVE:
        shown = shown[:1]
    named = " or ".join(f"{each.name} {_form(each.quantization)}" for each in shown)
    return f"Without that, {gpus} x {gpu_id} hold{'s' if gpus == 1 else ''} {named}"


def _form(name: str) -> str:
    if name == NATIVE:
        return "as stored"
    return f"as {name}" + (" (from a checkpoint that you name)" if named_quantization(name).needs_checkpoint else "")


def _bound(
    model: ModelShape, answer: MemoryEstimate, product: Gpu, need: OffloadNeed, share: float
) -> OffloadBound | None:
    """Return the bound; ``share`` is the part of what must leave the GPUs that host memory can take.

    None where a bandwidth is not known, or where only repeated weights must leave, so that nothing bounds the speed.
    """
    if not product.host_link or not product.memory_bandwidth_gb_per_second:
        return None
    gpus = answer.parallelism.world_size
    link = host_link(product.host_link)
    if gpus > 1:
        link = HostLink(name=f"{gpus} x {link.name}", gb_per_second=gpus * link.gb_per_second, source=link.source)
    bound = offload_bound(
        model,
        _smallest_format(model, answer.settings.quantization),
        gpu_weights_bytes=need.gpu_weights_bytes,
        host_weights_bytes=need.offloaded_bytes if share >= 1 else int(need.offloaded_bytes * share),
        gpu_memory_gb_per_second=gpus * product.memory_bandwidth_gb_per_second,
        host=link,
        disk=host_link(DISK),
    )
    return bound if bound.host_bytes_per_token or bound.disk_bytes_per_token else None


def _smallest_format(model: ModelShape, name: str) -> LinearFormat:
    """Return the format with the fewest bits that any weight has, so that a bound with it holds for the mixture."""
    linear = named_quantization(name).linear
    if linear is not None:
        return linear
    experts = (FP4_EXPERTS,) if model.experts is not None and model.experts.stored_fp4 else ()
    exceptions = (exception.linear for exception in model.format_exceptions)
    formats: list[LinearFormat] = [stored_format(model), *experts, *exceptions]
    return min(formats, key=lambda each: each.bits_per_weight)
