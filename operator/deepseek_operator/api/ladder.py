"""Where on the ladder that its owner allows a deployment runs: which model, and which formats under memory pressure.

The position becomes part of the planner's question and of the fingerprint that the accepted plan answers; so a plan
tells by itself at which position it was made, also after a restart of the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepseek_operator.api.spec_scaling import FallbackSpec, FallbackTrigger
from deepseek_operator.api.v1alpha1 import DeepSeekDeploymentSpec
from deepseek_operator.catalog import models
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.errors import shortened
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.planner.compromise import Compromise, CompromiseKind
from deepseek_operator.planner.gpu_share import Sharing
from deepseek_operator.planner.hardware import AUTO, rungs
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest
from deepseek_operator.planner.result import Plan


@dataclass(frozen=True, kw_only=True)
class Formats:
    """Formats that are taken under memory pressure, on the GPUs and with the split that are short of memory.

    Args:
        kv_cache: format of the KV cache.
        quantization: format of the weights.
        gpu: product that the pressed replicas run on.
        parallelism: their split.
        share: MIG profile that they have; empty for another share.
        exclusive: whether they have whole GPUs.
    """

    kv_cache: KvCacheDtype
    quantization: str
    gpu: str
    parallelism: Parallelism
    share: str = ""
    exclusive: bool = True

    @classmethod
    def of(cls, plan: Plan) -> Formats:
        """Return what a plan runs."""
        return cls(
            kv_cache=plan.kv_cache_dtype,
            quantization=plan.quantization,
            gpu=plan.gpu,
            parallelism=plan.parallelism,
            share="" if plan.share is None else plan.share.profile,
            exclusive=plan.share is None,
        )

    def __str__(self) -> str:
        """Return them in a few words, such as ``Native weights and an FP8 KV cache``."""
        cache = "the model's own" if self.kv_cache is KvCacheDtype.AUTO else f"an {self.kv_cache.value.upper()}"
        return f"{self.quantization} weights and {cache} KV cache"


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place on the ladder; the default is what the spec asks for.

    Args:
        model: smaller model that runs while a window is open; empty for the asked one.
        window: name of that window.
        formats: taken under memory pressure; None for the planner's own choice.
    """

    model: str = ""
    window: str = ""
    formats: Formats | None = None

    @property
    def words(self) -> dict[str, str]:
        """What of it a plan answers; empty for what the spec asks for.

        The name of the window is left out, because another window with the same model changes nothing.
        """
        formats = (
            {} if self.formats is None else {"kv": self.formats.kv_cache.value, "weights": self.formats.quantization}
        )
        return {**({"model": self.model} if self.model else {}), **formats}


AS_ASKED = Position()


def at_position(spec: DeepSeekDeploymentSpec, asked: PlanRequest, position: Position) -> PlanRequest:
    """Return the planner's question at a position.

    Args:
        spec: of the object.
        asked: question that the spec itself asks, with the fallbacks for when it has no plan.
        position: where on the ladder; its model is one of ``fallbacks``.
    """
    request = asked
    if position.model:
        request = _in_window(spec, asked, position)
    if position.formats is not None:
        request = _under_pressure(spec, request, position.formats)
    return request


def position_of(spec: DeepSeekDeploymentSpec, plan: Plan) -> Position:
    """Return at which position a plan was made; the window that named its model is not known any more.

    Args:
        spec: of the object.
        plan: its accepted plan.
    """
    given_up = plan.compromise
    if given_up is None:
        return AS_ASKED
    if given_up.kind is CompromiseKind.SCHEDULE:
        return Position(model=plan.model_name)
    if given_up.kind is CompromiseKind.MEMORY_PRESSURE:
        return Position(model=plan.model_name if plan.model_name != spec.model.name else "", formats=Formats.of(plan))
    return Position(model=given_up.asked_model if given_up.asked_model != spec.model.name else "")


def stronger_formats(request: PlanRequest, plan: Plan) -> tuple[Formats, ...]:
    """Return the steps down from a plan within the allowed quality: the KV cache in FP8 first, then the weights.

    Whether a GPU and a model allow them, and whether they make the cache larger, is left to the planner. A KV cache
    that the owner has pinned stays. Empty for a plan that gives something up already.

    Args:
        request: question without pressure.
        plan: that runs.
    """
    given_up = plan.compromise
    if given_up is not None and given_up.kind in {CompromiseKind.FALLBACK, CompromiseKind.NEAREST}:
        return ()
    now = Formats.of(plan)
    free = request.kv_cache_dtype is KvCacheDtype.AUTO and now.kv_cache is KvCacheDtype.AUTO
    caches = (KvCacheDtype.FP8, now.kv_cache) if free else (now.kv_cache,)
    names = [rung.name for rung in rungs(replace(request, quantization=AUTO), gpu(plan.gpu))[0]]
    weights = names[names.index(now.quantization) :] if now.quantization in names else [now.quantization]
    steps = [replace(now, quantization=name, kv_cache=cache) for name in weights for cache in caches]
    return tuple(step for step in steps if step != now)


def replica_limits(spec: DeepSeekDeploymentSpec, model: str = "") -> tuple[int, int]:
    """Return the fewest replicas to plan for and the most that can ever run of one model of the ladder.

    The asked model runs outside the windows that name another one, so their ``maxReplicas`` is no limit of its cost.

    Args:
        spec: of the object.
        model: smaller model of a window; empty for the asked one.
    """
    scaling, by_window = spec.scaling, {each.schedule: each.model for each in _scheduled(spec)}
    if model:
        own = [window for window in scaling.schedules if by_window.get(window.name) == model]
        least = min((window.min_replicas for window in own), default=1)
        return max(1, least), max((window.max_replicas for window in scaling.schedules), default=1)
    base = scaling.max_replicas if scaling.max_replicas is not None else max(1, scaling.min_replicas)
    others = (window.max_replicas for window in scaling.schedules if window.name not in by_window)
    return max(1, scaling.min_replicas), max(base, *others, 1)


def _scheduled(spec: DeepSeekDeploymentSpec) -> Sequence[FallbackSpec]:
    return [each for each in spec.fallbacks if each.when is FallbackTrigger.SCHEDULE]


def _in_window(spec: DeepSeekDeploymentSpec, asked: PlanRequest, position: Position) -> PlanRequest:
    """Return the question about a window's model; where it has no plan, what runs outside the window does."""
    least, most = replica_limits(spec, position.model)
    instead = [replace(each, max_replicas=max(each.max_replicas, most)) for each in (asked, *asked.fallbacks)]
    return replace(
        asked,
        model_name=position.model,
        model=models.shape(position.model),
        min_replicas=least,
        max_replicas=most,
        fallbacks=tuple(replace(each, fallbacks=(), deploy_nearest=False) for each in instead),
        deploy_nearest=False,
        compromise=Compromise(
            kind=CompromiseKind.SCHEDULE,
            asked_model=asked.model_name,
            reason=CompromiseKind.SCHEDULE.value,
            change=f"{shortened(position.model)} runs while the window {position.window} is open",
            message=f"then {shortened(asked.model_name)} runs again",
        ),
    )


def _under_pressure(spec: DeepSeekDeploymentSpec, request: PlanRequest, formats: Formats) -> PlanRequest:
    split = formats.parallelism
    return replace(
        request,
        gpus=(formats.gpu,),
        quantization=formats.quantization,
        kv_cache_dtype=formats.kv_cache,
        sharing=Sharing.EXCLUSIVE if formats.exclusive else request.sharing,
        mig_profile=formats.share or request.mig_profile,
        parallelism=PinnedParallelism(
            tensor=split.tensor, pipeline=split.pipeline, data=split.data, expert=split.expert
        ),
        fallbacks=(),
        deploy_nearest=False,
        compromise=Compromise(
            kind=CompromiseKind.MEMORY_PRESSURE,
            asked_model=spec.model.name,
            reason=CompromiseKind.MEMORY_PRESSURE.value,
            change=f"{shortened(request.model_name)} runs with {formats}",
            message="the KV cache was full and no replica could be added (memoryPressure.action: Quantize)",
        ),
    )
