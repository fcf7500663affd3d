"""The user's own engine flags: added, or refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_operator.catalog.chat_parsers import chat_parsers
from deepseek_operator.catalog.engines import engine_flags
from deepseek_operator.errors import InvalidSpecError
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.reserved_flags import RESERVED_FLAGS, SHORT_OPTIONS
from deepseek_operator.resources.vllm import VllmSettings, build_args, default_args, planned_args
from model_factories import make_plan

FLAGS = engine_flags("vllm", "0.32.0")


def args(*extra: str, split: Parallelism | None = None) -> list[str]:
    plan = make_plan(parallelism=split or Parallelism(tensor=4))
    settings = VllmSettings(model="a/b", served_names=("b",), shutdown_seconds=120, extra_args=extra)
    return build_args(plan, settings, FLAGS)


def test_the_plan_is_written_out_flag_by_flag() -> None:
    plan = make_plan(
        parallelism=Parallelism(tensor=4, data=2, expert=True),
        kv_cache_dtype=KvCacheDtype.FP8,
        gpu_memory_utilization_percent=90,
    )
    settings = VllmSettings(
        model="deepseek-ai/DeepSeek-V3",
        revision="abc",
        served_names=("v3",),
        quantization="awq",
        tls=True,
        shutdown_seconds=60,
    )
    assert planned_args(plan, settings) == [
        "deepseek-ai/DeepSeek-V3",
        "--served-model-name=v3",
        "--revision=abc",
        "--port=8000",
        "--tensor-parallel-size=4",
        "--pipeline-parallel-size=1",
        "--data-parallel-size=2",
        "--enable-expert-parallel",
        "--max-model-len=4096",
        "--max-num-seqs=64",
        "--max-num-batched-tokens=8192",
        "--gpu-memory-utilization=0.90",
        "--kv-cache-dtype=fp8",
        "--quantization=awq",
        "--shutdown-timeout=60",
        "--ssl-certfile=/var/run/secrets/engine-tls/tls.crt",
        "--ssl-keyfile=/var/run/secrets/engine-tls/tls.key",
    ]


@pytest.mark.parametrize(
    ("extra", "added"),
    [
        pytest.param((), [], id="nothing"),
        pytest.param(("--seed=7",), ["--seed=7"], id="a value in the same word"),
        pytest.param(("--seed", "7"), ["--seed", "7"], id="a value in the next word"),
        pytest.param(("--seed", "-1"), ["--seed", "-1"], id="a negative number is a value"),
        pytest.param(("--no-enable-prefix-caching",), ["--no-enable-prefix-caching"], id="the negative form of a flag"),
        pytest.param(
            ("--compilation-config.mode=3",), ["--compilation-config.mode=3"], id="a field of a JSON flag, with a dot"
        ),
        pytest.param(
            ("--allowed-media-domains", "a.example", "b.example"),
            ["--allowed-media-domains", "a.example", "b.example"],
            id="a flag that takes several values",
        ),
        pytest.param(("--max-num-seqs=64",), [], id="what the plan says too is not repeated"),
        pytest.param(("--tensor-parallel-size", "4"), [], id="what the plan says too, in two words"),
        pytest.param(("--max_num_seqs=64",), [], id="what the plan says too, with underscores"),
        pytest.param(("--device-memory-utilization=0.92",), [], id="what the plan says too, by an alias"),
        pytest.param(("--max_num_queued_reqs=9",), ["--max-num-queued-reqs=9"], id="underscores count as hyphens"),
    ],
)
def test_flags_that_add_to_the_plan(extra: tuple[str, ...], added: list[str]) -> None:
    assert args(*extra) == args() + added


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(
            ("--max-num-seqs=65",),
            "--max-num-seqs contradicts the plan: set spec.engine.maxNumSeqs instead",
            id="another value than the plan's",
        ),
        pytest.param(
            ("--device-memory-utilization=0.5",),
            "--device-memory-utilization contradicts the plan: set spec.engine.gpuMemoryUtilizationPercent instead",
            id="an alias of a planned flag",
        ),
        pytest.param(
            ("--enable-expert-parallel",),
            "--enable-expert-parallel contradicts the plan: set spec.parallelism.expert instead",
            id="a switch that the plan leaves off",
        ),
        pytest.param(
            ("--no-enable-expert-parallel",),
            "--no-enable-expert-parallel contradicts the plan: set spec.parallelism.expert instead",
            id="the negative form of a planned switch",
        ),
        pytest.param(
            ("--cpu-offload-gb=10",),
            "--cpu-offload-gb contradicts the plan: set spec.engine.weightOffloadBytes instead",
            id="memory that the plan does not count",
        ),
        pytest.param(
            ("--api-key", "hunter2"),
            "--api-key contradicts the plan: set spec.engine.apiKeySecretRef instead; "
            "an argument is readable by everyone who may read pods",
            id="a secret",
        ),
        pytest.param(
            ("--config=/tmp/x.yaml",),
            "--config contradicts the plan: write the flags themselves; a file could contradict the plan unseen",
            id="a file that could say anything",
        ),
        pytest.param(
            ("--swap-space=4",),
            "--swap-space is no flag of vLLM 0.32.0; see `vllm serve --help=all` of that release",
            id="a flag of an older release",
        ),
        pytest.param(
            ("--max-num-seq=64",),
            "--max-num-seq is no flag of vLLM 0.32.0; did you mean --max-num-seqs or "
            "--max-num-active-seqs or --max-num-queued-reqs?",
            id="an abbreviation, which the engine would accept",
        ),
        pytest.param(
            ("--max_num_seqs=65",),
            "--max_num_seqs contradicts the plan: set spec.engine.maxNumSeqs instead",
            id="underscores, which the engine accepts",
        ),
        pytest.param(
            ("--max-num-seqs.x=64",),
            "--max-num-seqs.x contradicts the plan: set spec.engine.maxNumSeqs instead",
            id="a field of a planned flag",
        ),
        pytest.param(
            ("--speculative_config.method=ngram",),
            "--speculative_config.method contradicts the plan: set spec.engine.speculative instead",
            id="a field of a JSON flag that has an owner",
        ),
        pytest.param(
            ('--kv-transfer-config={"kv_connector":"OffloadingConnector"}',),
            "--kv-transfer-config contradicts the plan: set spec.engine.kvOffload instead",
            id="KV offload by its connector",
        ),
        pytest.param(
            ("-tp", "8"),
            "-tp (--tensor-parallel-size) contradicts the plan: set spec.parallelism.tensor instead",
            id="a short option of a planned flag",
        ),
        pytest.param(
            ("-tp=8",),
            "-tp=8 (--tensor-parallel-size) contradicts the plan: set spec.parallelism.tensor instead",
            id="a short option with its value",
        ),
        pytest.param(
            ("-O3",),
            "'-O3' is a short option; write the flag out, as in --optimization-level=1",
            id="a short option that would be allowed",
        ),
        pytest.param(("-x",), "'-x' is a short option; write the flag out, as in --seed=1", id="no option at all"),
        pytest.param(("--",), "'--' is a short option; write the flag out, as in --seed=1", id="the end of options"),
        pytest.param(
            ("--enforce-eager", "another/model"),
            "--enforce-eager is a switch and takes no value; write --enforce-eager alone",
            id="a model smuggled in behind a switch",
        ),
        pytest.param(
            ("--enforce-eager=",),
            "--enforce-eager is a switch and takes no value; write --enforce-eager alone",
            id="an empty value of a switch",
        ),
        pytest.param(("7", "--seed"), "'7' belongs to no flag; begin with one, as in --seed=1", id="a stray word"),
        pytest.param(("--seed",), "--seed needs a value; write --seed=VALUE", id="a value is missing"),
        pytest.param(
            ("--seed", "7", "8"), "--seed takes one value, 2 follow it; write --seed=VALUE", id="a value too many"
        ),
        pytest.param(
            ("--scheduling-policy=random",),
            "--scheduling-policy does not take 'random'; write one of fcfs, priority",
            id="a value that the engine refuses",
        ),
    ],
)
def test_flags_that_are_refused_by_name(extra: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        args(*extra)
    assert str(caught.value) == f"spec.engine.extraArgs: {message}"
    assert "hunter2" not in str(caught.value)


def test_a_long_flag_is_not_echoed_whole() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        args("--" + "x" * 1000)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("flag", sorted(RESERVED_FLAGS))
def test_every_reserved_flag_is_known_by_its_first_spelling(flag: str) -> None:
    assert FLAGS[flag].names[0] == flag


@pytest.mark.parametrize("short", sorted(SHORT_OPTIONS))
def test_every_short_option_stands_for_a_flag(short: str) -> None:
    assert FLAGS[SHORT_OPTIONS[short]].names[0] == SHORT_OPTIONS[short]


def test_no_variable_is_put_into_an_argument():
    settings = VllmSettings(model="m", served_names=("$(HF_TOKEN)",), shutdown_seconds=1, extra_args=("--seed=$(A)",))
    args = build_args(make_plan(), settings, FLAGS)
    assert "--served-model-name=$$(HF_TOKEN)" in args
    assert "--seed=$$(A)" in args


PARSED = VllmSettings(
    model="m",
    served_names=("m",),
    shutdown_seconds=1,
    parsers=chat_parsers("deepseek-ai/DeepSeek-V3.2"),
    prefix_caching=True,
)


def test_parsers_and_prefix_caching_are_defaults() -> None:
    assert default_args(PARSED) == [
        "--enable-prefix-caching",
        "--tokenizer-mode=deepseek_v32",
        "--reasoning-parser=deepseek_v3",
        "--enable-auto-tool-choice",
        "--tool-call-parser=deepseek_v32",
    ]


def test_the_user_changes_defaults_in_any_spelling() -> None:
    extra = ("--no-enable-prefix-caching", "--tokenizer_mode=hf", "--reasoning-parser", "mine")
    added = build_args(make_plan(), replace(PARSED, extra_args=extra), FLAGS)[-6:]
    assert added == [
        "--enable-auto-tool-choice",
        "--tool-call-parser=deepseek_v32",
        "--no-enable-prefix-caching",
        "--tokenizer-mode=hf",
        "--reasoning-parser",
        "mine",
    ]
