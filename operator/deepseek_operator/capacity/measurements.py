"""What engines of a cluster have reported, read off ``status.measurements`` of the DeepSeekDeployments.

The status is the store: it survives restarts of the operator, and everybody who plans for the cluster reads the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from deepseek_operator.capacity.fields import integer_at, is_set, items_at, mapping_at, text_at
from deepseek_operator.errors import InventoryError
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.memory.settings import EngineSettings, KvCacheDtype
from deepseek_operator.planner.measurement import Measurement, distinct, without_tokens

MAX_PERCENT = 100

MAX_COUNT = 2**53 - 1
"""Largest number that is believed, as on a metrics page; sums with larger ones from an edited file would overflow."""


def read_measurements(deployment: Mapping[str, object]) -> tuple[Measurement, ...]:
    """Return what the engines of a DeepSeekDeployment have reported.

    Raises:
        InventoryError: a field has the wrong type.
    """
    return load_measurements(mapping_at(deployment, "status"))


def load_measurements(holder: Mapping[str, object]) -> tuple[Measurement, ...]:
    """Return the entries of the field ``measurements`` of a status or a snapshot; none when it is absent.

    An entry with a value that cannot be, or with a cache format that this version does not know, is left out: whoever
    plans must not fail because of another object's status.

    Raises:
        InventoryError: a field has the wrong type.

    >>> load_measurements({})
    ()
    """
    read = (_measurement(entry) for entry in items_at(holder, "measurements"))
    return tuple(each for each in read if each is not None)


def stored_measurement(measurement: Measurement) -> dict[str, object]:
    """Return a measurement as the status and the snapshot store it, keys always in this order."""
    split, settings = measurement.parallelism, measurement.settings
    return {
        "modelName": measurement.model_name,
        "variant": measurement.variant,
        "gpu": measurement.gpu,
        "totalBytes": measurement.total_memory_bytes,
        "parallelism": {
            "tensor": split.tensor,
            "pipeline": split.pipeline,
            "data": split.data,
            "expert": split.expert,
        },
        "quantization": settings.quantization,
        "kvCache": settings.kv_cache_dtype.value,
        "maxModelLen": settings.max_model_len,
        "maxNumSeqs": settings.max_num_seqs,
        "maxNumBatchedTokens": settings.max_num_batched_tokens,
        "gpuMemoryUtilizationPercent": settings.gpu_memory_utilization_percent,
        "engineRelease": settings.release,
        "kvCacheTokens": measurement.kv_cache_tokens,
    }


def measurements_of(deployments: Iterable[Mapping[str, object]]) -> list[Measurement]:
    """Return the measurements of many DeepSeekDeployments; an object with a damaged status has none."""
    found: list[Measurement] = []
    for deployment in deployments:
        try:
            found += read_measurements(deployment)
        except InventoryError:
            continue
    return found


class MeasurementStore:
    """What the engines of each object have reported, changed by one object at a time.

    A thousand objects that run alike are one measurement, and a further one like them is no news.
    """

    def __init__(self) -> None:
        self._by_owner: dict[str, tuple[Measurement, ...]] = {}
        self._tokens: dict[Measurement, Counter[int]] = {}

    def put(self, owner: str, measurements: tuple[Measurement, ...]) -> bool:
        """Put an owner's measurements in place of those before; return whether ``distinct`` may differ."""
        before = self._by_owner.pop(owner, ())
        if measurements:
            self._by_owner[owner] = measurements
        if before == measurements:
            return False
        keys = {without_tokens(each) for each in (*before, *measurements)}
        smallest = {key: min(self._tokens.get(key, ()), default=None) for key in keys}
        for each in before:
            self._count(each, -1)
        for each in measurements:
            self._count(each, 1)
        return any(min(self._tokens.get(key, ()), default=None) != smallest[key] for key in keys)

    def distinct(self) -> tuple[Measurement, ...]:
        """Return one measurement per setting, as `planner.measurement.distinct` does."""
        return distinct(replace(key, kv_cache_tokens=min(tokens)) for key, tokens in self._tokens.items())

    def _count(self, measurement: Measurement, change: int) -> None:
        key = without_tokens(measurement)
        counts = self._tokens.setdefault(key, Counter())
        counts[measurement.kv_cache_tokens] += change
        if not counts[measurement.kv_cache_tokens]:
            del counts[measurement.kv_cache_tokens]
        if not counts:
            del self._tokens[key]


def _measurement(entry: Mapping[str, object]) -> Measurement | None:
    split = mapping_at(entry, "parallelism")
    dtype = text_at(entry, "kvCache")
    numbers = {
        name: integer_at(holder, name)
        for holder, names in (
            (entry, ("totalBytes", "maxModelLen", "maxNumSeqs", "maxNumBatchedTokens", "kvCacheTokens")),
            (entry, ("gpuMemoryUtilizationPercent",)),
            (split, ("tensor", "pipeline", "data")),
        )
        for name in names
    }
    known = dtype in {each.value for each in KvCacheDtype}
    if not known or not all(1 <= number <= MAX_COUNT for number in numbers.values()):
        return None
    if numbers["gpuMemoryUtilizationPercent"] > MAX_PERCENT:
        return None
    return Measurement(
        model_name=text_at(entry, "modelName"),
        variant=text_at(entry, "variant"),
        gpu=text_at(entry, "gpu"),
        total_memory_bytes=numbers["totalBytes"],
        parallelism=Parallelism(
            tensor=numbers["tensor"],
            pipeline=numbers["pipeline"],
            data=numbers["data"],
            expert=is_set(split, "expert"),
        ),
        settings=EngineSettings(
            release=text_at(entry, "engineRelease"),
            gpu_memory_utilization_percent=numbers["gpuMemoryUtilizationPercent"],
            max_model_len=numbers["maxModelLen"],
            max_num_seqs=numbers["maxNumSeqs"],
            max_num_batched_tokens=numbers["maxNumBatchedTokens"],
            kv_cache_dtype=KvCacheDtype(dtype),
            quantization=text_at(entry, "quantization"),
        ),
        kv_cache_tokens=numbers["kvCacheTokens"],
    )
