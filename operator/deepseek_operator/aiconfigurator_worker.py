"""The process that asks ``aiconfigurator-core`` 0.12.0: a question a line in, an answer a line out.

It is run as a script, imports nothing of the package, so that neither can disturb the other, and ends when its input
does. A question that the library has no answer to, for whatever reason, is answered with ``null``.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import tempfile
from functools import cache
from typing import Any

MOST_DATA_BYTES = 2 * 2**30
"""Memory that the process may allocate; its tables of all products take 0.4 GB (seen)."""

MEASURED_TAGS = frozenset({"silicon", "mixed"})
MEASURED_OPERATIONS = ("gemm", "attention", "_ar")
"""Parts of the names of operations that must be measured; norms, activations and embeddings may be computed."""


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what the library prints is no answer
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            answers.write(json.dumps(_answer(json.loads(line), folder)) + "\n")
            answers.flush()


def _answer(question: dict[str, Any], folder: str) -> dict[str, Any] | None:
    try:
        return _seconds(question, folder)
    except Exception:
        return None  # the library raises many kinds of errors for what it has no table of


def _seconds(question: dict[str, Any], folder: str) -> dict[str, Any] | None:
    """Return the latencies of one engine, in seconds; None where they do not rest on measured kernels."""
    from aiconfigurator_core.sdk.backends.factory import get_backend
    from aiconfigurator_core.sdk.config import RuntimeConfig

    database = _database(question["system"], question["backend"])
    model = _model(_config_folder(folder, json.dumps(question["config"], sort_keys=True)), _split(question))
    load = RuntimeConfig(batch_size=question["batch"], isl=question["input_tokens"], osl=question["output_tokens"])
    # a fresh backend for each question: its own cache forgets which model it was asked about
    summary = get_backend(question["backend"]).run_agg(model, database, load, ctx_tokens=question["chunk_tokens"])
    found = summary.get_result_dict()
    if not _is_measured(summary.get_per_ops_source(), summary.get_per_ops_data()):
        return None
    return {"ttft": float(found["ttft"]) / 1000, "tpot": float(found["tpot"]) / 1000}


def _is_measured(sources: dict[str, Any], latencies: dict[str, Any]) -> bool:
    """Whether the library tags every matrix, attention and all-reduce that takes time as measured."""
    return all(
        tag in MEASURED_TAGS
        for phase, tags in sources.items()
        for operation, tag in tags.items()
        if any(part in operation for part in MEASURED_OPERATIONS) and latencies[phase].get(operation, 0) > 0
    )


@cache
def _database(system: str, backend: str) -> Any:  # noqa: ANN401 - untyped library
    from aiconfigurator_core.sdk import perf_database

    slots = perf_database.get_version_slots(system, backend)
    return perf_database.get_database(system, backend, slots["current"] if slots else "")


@cache
def _model(path: str, split: tuple[int, str, str, str]) -> Any:  # noqa: ANN401 - untyped library
    from aiconfigurator_core.sdk import common, config, models

    tensor, matrices, cached, backend = split
    chosen = config.ModelConfig(
        tp_size=tensor,
        moe_tp_size=tensor,
        moe_ep_size=1,
        gemm_quant_mode=common.GEMMQuantMode[matrices],
        kvcache_quant_mode=common.KVCacheQuantMode[cached],
        fmha_quant_mode=common.FMHAQuantMode["bfloat16"],
    )
    return models.get_model(path, chosen, backend)


def _split(question: dict[str, Any]) -> tuple[int, str, str, str]:
    return question["tensor"], question["matrices"], question["cache"], question["backend"]


@cache
def _config_folder(folder: str, config: str) -> str:
    """Return a folder with a config.json: a name that the library does not bundle would make it call a hub."""
    path = tempfile.mkdtemp(dir=folder)
    with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as file:
        file.write(config)
    return path


if __name__ == "__main__":
    main()
