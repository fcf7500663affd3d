"""From the custom resource to the planner's question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial

from deepseek_operator.api.engine_features import draft_shape, engine_features
from deepseek_operator.api.ladder import AS_ASKED, Position, at_position, replica_limits
from deepseek_operator.api.ladder_check import refuse_wrong_pressure, refuse_wrong_schedules
from deepseek_operator.api.spec_engine import EngineSpec, EngineType
from deepseek_operator.api.spec_hardware import KvCachePrecision
from deepseek_operator.api.spec_model import ModelSpec
from deepseek_operator.api.spec_scaling import FallbackTrigger
from deepseek_operator.api.v1alpha1 import DeepSeekDeployment, DeepSeekDeploymentSpec, OnInfeasible
from deepseek_operator.catalog import engines, gpus, hf_config, mig, models, quantizations
from deepseek_operator.catalog.shapes import ModelShape
from deepseek_operator.errors import CatalogError, InvalidSpecError, UnknownMigProfileError, UnsupportedModelError
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.planner.gpu_share import Sharing
from deepseek_operator.planner.request import PinnedParallelism, PlanRequest, Sla, Workload

_KV_CACHE_DTYPES = {
    KvCachePrecision.AUTO: KvCacheDtype.AUTO,
    KvCachePrecision.BF16: KvCacheDtype.BFLOAT16,
    KvCachePrecision.FP8: KvCacheDtype.FP8,
}

_AUTO = "Auto"


def plan_request(deployment: DeepSeekDeployment, position: Position = AS_ASKED) -> PlanRequest:
    """Return what the planner is asked for a deployment; what the spec leaves open stays open.

    Args:
        deployment: the parsed object.
        position: where on its ladder; by default what runs outside of windows and without memory pressure.

    Raises:
        InvalidSpecError: the spec names a model, GPU or quantization that the catalogue does not hold, or a config
            that cannot be planned, or asks for what this version does not do; the text names the field.
    """
    spec = deployment.spec
    refuse_wrong_schedules(spec)
    refuse_wrong_pressure(spec)
    _refuse_wrong_fallbacks(spec)
    _refuse_unknown_names(spec)
    _refuse_contradicting_checkpoint(spec)
    _refuse_wrong_mig_profile(spec)
    asked = _asked(spec)
    fallbacks = tuple(
        replace(asked, model_name=each.model, model=models.shape(each.model))
        for each in spec.fallbacks
        if each.when is FallbackTrigger.INFEASIBLE
    )
    asked = replace(asked, fallbacks=fallbacks, deploy_nearest=spec.on_infeasible is OnInfeasible.DEPLOY_NEAREST)
    return at_position(spec, asked, position)


def _asked(spec: DeepSeekDeploymentSpec) -> PlanRequest:
    shape, release = model_shape(spec.model), spec.engine.release or PlanRequest.engine_release
    least, most = replica_limits(spec)
    return PlanRequest(
        model_name=spec.model.name,
        model=shape,
        workload=Workload(
            input_tokens=spec.workload.input_tokens,
            output_tokens=spec.workload.output_tokens,
            max_context_tokens=spec.workload.max_context_tokens,
            concurrency=spec.workload.concurrency,
            requests_per_minute=spec.workload.requests_per_minute,
        ),
        sla=_sla(spec),
        gpus=tuple(sorted(set(spec.hardware.gpus))),
        max_gpus_total=spec.hardware.max_gpus_total,
        max_cost_per_hour_usd=_usd(spec.hardware.max_cost_per_hour_usd),
        min_replicas=least,
        max_replicas=most,
        quality=spec.precision.quality,
        quantization=spec.precision.quantization,
        kv_cache_dtype=_KV_CACHE_DTYPES[spec.precision.kv_cache],
        parallelism=PinnedParallelism(
            tensor=spec.parallelism.tensor,
            pipeline=spec.parallelism.pipeline,
            data=spec.parallelism.data or _data_parallel_of(spec.engine),
            expert=spec.parallelism.expert,
        ),
        max_num_seqs=spec.engine.max_num_seqs,
        max_num_batched_tokens=spec.engine.max_num_batched_tokens,
        gpu_memory_utilization_percent=spec.engine.gpu_memory_utilization_percent,
        sharing=spec.sharing,
        mig_profile=spec.hardware.mig_profile,
        engine_release=release,
        features=engine_features(spec, shape, release),
        draft_model=draft_shape(spec),
    )


def _data_parallel_of(engine: EngineSpec) -> int | None:
    """Return 1 for Triton, whose backends run one engine, and None where the planner is free."""
    return 1 if engine.type is EngineType.TRITON else None


def model_shape(model: ModelSpec) -> ModelShape:
    """Return the shape of the model that a spec names or describes.

    Raises:
        InvalidSpecError: the catalogue does not hold it, or its config cannot be planned; the text names the field.
    """
    try:
        return models.shape(model.name) if model.config is None else hf_config.shape_from_config(model.config)
    except CatalogError as error:
        raise InvalidSpecError("spec.model.name", str(error)) from error
    except UnsupportedModelError as error:
        field = "spec.model.name" if model.config is None else "spec.model.config"
        raise InvalidSpecError(field, str(error)) from error


def _sla(spec: DeepSeekDeploymentSpec) -> Sla | None:
    if spec.sla is None:
        return None
    return Sla(
        ttft_milliseconds=spec.sla.ttft_milliseconds,
        tpot_milliseconds=spec.sla.tpot_milliseconds,
        percentile=spec.sla.percentile,
    )


def _usd(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)


def _refuse_wrong_fallbacks(spec: DeepSeekDeploymentSpec) -> None:
    """Raise for the first fallback that could never run."""
    storage = spec.model.storage
    if spec.fallbacks and spec.model.served_name.startswith("-"):
        # A fallback answers to several names, which the engine takes as words of their own.
        raise InvalidSpecError("spec.model.servedName", "begins with a hyphen, which fallbacks cannot; choose another")
    for index, fallback in enumerate(spec.fallbacks):
        field = f"spec.fallbacks[{index}]"
        before = [each.model for each in spec.fallbacks[:index] if each.when is fallback.when]
        by_schedule = fallback.when is FallbackTrigger.SCHEDULE
        if fallback.model == spec.model.name or (fallback.model in before and not by_schedule):
            raise InvalidSpecError(f"{field}.model", "is named before; name a smaller model")
        try:
            models.shape(fallback.model)
        except (CatalogError, UnsupportedModelError) as error:
            raise InvalidSpecError(f"{field}.model", str(error)) from error
        if storage is not None and storage.hugging_face is None:
            raise InvalidSpecError(
                field, "spec.model.storage mounts the weights of another model; leave it out, or use huggingFace"
            )
        if spec.precision.checkpoint:
            raise InvalidSpecError(
                field, "spec.precision.checkpoint holds the weights of another model; leave one of them out"
            )


def _refuse_contradicting_checkpoint(spec: DeepSeekDeploymentSpec) -> None:
    """Raise when the format and the weights that are to be served cannot both be right."""
    precision, storage = spec.precision, spec.model.storage
    field = "spec.precision.checkpoint"
    if storage is not None and storage.hugging_face is None:
        if precision.checkpoint:
            raise InvalidSpecError(field, "mounted weights are served as they are; leave it out, or use huggingFace")
        return
    if precision.quantization == _AUTO:
        return
    needed = quantizations.quantization(precision.quantization).needs_checkpoint
    if needed and not precision.checkpoint:
        raise InvalidSpecError(field, f"name the repository whose weights are stored in {precision.quantization}")
    if precision.checkpoint and not needed:
        raise InvalidSpecError(
            field, f"{precision.quantization} is made from the model's own weights while loading; leave it out"
        )


def _refuse_wrong_mig_profile(spec: DeepSeekDeploymentSpec) -> None:
    """Raise for a slice that no GPU can be cut into, or that the sharing excludes."""
    profile, field = spec.hardware.mig_profile, "spec.hardware.migProfile"
    if not profile:
        return
    if spec.sharing is Sharing.EXCLUSIVE:
        raise InvalidSpecError(field, "a MIG slice is a part of a GPU, and spec.sharing: Exclusive asks for whole ones")
    named = [gpus.gpu(gpu_id) for gpu_id in spec.hardware.gpus] or list(gpus.gpus())
    if any(profile in gpu.mig_profiles for gpu in named):
        return
    if len(named) == 1:
        try:
            mig.mig_profile(named[0], profile)
        except CatalogError as error:
            raise InvalidSpecError(field, str(error)) from error
    known = sorted({each for gpu in named for each in gpu.mig_profiles})
    raise InvalidSpecError(field, str(UnknownMigProfileError("MIG profile", profile, known, _MIG_REMEDY)))


_MIG_REMEDY = "see migProfiles in `kubectl deepseek catalog gpus -o yaml`"


def _refuse_unknown_names(spec: DeepSeekDeploymentSpec) -> None:
    """Raise for the first name that the catalogue does not hold."""
    asked: list[tuple[str, Callable[[], object]]] = [
        (f"spec.hardware.gpus[{index}]", partial(gpus.gpu, gpu_id)) for index, gpu_id in enumerate(spec.hardware.gpus)
    ]
    quantization, release = spec.precision.quantization, spec.engine.release
    if quantization != _AUTO:
        asked.append(("spec.precision.quantization", partial(quantizations.quantization, quantization)))
    if release:
        asked.append(("spec.engine.release", partial(engines.engine_release, engines.DEFAULT_ENGINE, release)))
    for field, look_up in asked:
        try:
            look_up()
        except CatalogError as error:
            raise InvalidSpecError(field, str(error)) from error
