"""The process of the extra: what it is asked, that it is bounded, and that its faults change nothing but the source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deepseek_operator.aiconfigurator import AiConfigurator, question
from deepseek_operator.catalog.gpus import gpu
from deepseek_operator.catalog.models import shape
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.performance.features import Precision, ServingPoint
from deepseek_operator.performance.prediction import PredictionSource
from deepseek_operator.performance.roofline import predict
from deepseek_operator.performance.second_source import SecondOpinion
from deepseek_operator.planner.entry import plan, plan_with
from deepseek_operator.planner.request import PinnedParallelism
from deepseek_operator.planner.result import Plan
from planner_values import A100, H100, R1, planned, pool, request, supply

DISTILL_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
Start = Callable[..., AiConfigurator]
ANSWERS = "import sys, json\nfor line in sys.stdin:\n    print({answer}, flush=True)\n"


def point(product: str = H100, **changes: object) -> ServingPoint:
    known = gpu(product)
    made = ServingPoint(
        shape=shape(DISTILL_70B),
        parallelism=Parallelism(tensor=4),
        gpu=known,
        precision=Precision(bytes_per_parameter=2.0, tflops=known.bf16_tflops or 0.0),
        kv_bytes_per_token=81_920.0,
        batch=80,
        input_tokens=4000,
        output_tokens=1000,
        max_num_batched_tokens=8192,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # keywords are fields of the point


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Start]:
    """Start sources whose process runs the given lines of Python."""
    started: list[AiConfigurator] = []

    def start(program: str, seconds: float = 30.0) -> AiConfigurator:
        script = tmp_path / f"worker{len(started)}.py"
        script.write_text(program)
        source = AiConfigurator((sys.executable, "-S", str(script)), first_seconds=seconds, seconds=seconds)
        started.append(source)
        return source

    yield start
    for each in started:
        each.close()


def test_a_dense_model_is_asked_about_in_the_librarys_words():
    assert question(point()) == {
        "system": "h100_sxm",
        "backend": "vllm",
        "config": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": 80,
            "hidden_size": 8192,
            "intermediate_size": 28672,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 128256,
            "max_position_embeddings": 131072,
            "torch_dtype": "bfloat16",
        },
        "tensor": 4,
        "matrices": "bfloat16",
        "cache": "bfloat16",
        "batch": 80,
        "input_tokens": 4000,
        "output_tokens": 1000,
        "chunk_tokens": 8000,
    }


def test_fp8_is_asked_about_where_the_gpu_multiplies_in_it():
    fp8 = Precision(bytes_per_parameter=1.0, tflops=gpu(H100).fp8_tflops or 0.0)
    asked = question(point(precision=fp8, kv_bytes_per_token=40_960.0))
    assert asked is not None
    assert (asked["matrices"], asked["cache"]) == ("fp8", "fp8")


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(point("rtx-4090"), id="product-without-tables"),
        pytest.param(point(shape=shape(R1)), id="latent-cache"),
        pytest.param(point(precision=Precision(bytes_per_parameter=0.56, tflops=989.0)), id="4-bit-weights"),
    ],
)
def test_nothing_is_asked_that_the_library_has_no_tables_of(unknown: ServingPoint):
    assert question(unknown) is None


def test_an_answer_is_asked_for_once(worker: Start):
    counting = "import sys, json\nfor number, line in enumerate(sys.stdin):\n    print(json.dumps({'tpot': 0.04 + number}), flush=True)\n"  # noqa: E501 - a program
    source = worker(counting)
    assert [source.opinion(point()) for _ in range(2)] == 2 * [SecondOpinion(tpot_seconds=0.04)]
    assert source.opinion(point(batch=81)) == SecondOpinion(tpot_seconds=1.04)


@pytest.mark.parametrize(
    ("program", "fails"),
    [
        pytest.param(ANSWERS.format(answer="'null'"), False, id="no-answer"),
        pytest.param(ANSWERS.format(answer="json.dumps({'tpot': -1})"), False, id="below-nothing"),
        pytest.param(ANSWERS.format(answer="'nan'"), True, id="nonsense"),
        pytest.param(ANSWERS.format(answer="'[]'"), True, id="another-form"),
        pytest.param("import sys\nsys.stdin.readline()\nsys.exit(1)\n", True, id="ends"),
        pytest.param("raise ImportError\n", True, id="does-not-start"),
    ],
)
def test_a_fault_is_no_answer(worker: Start, program: str, fails: bool):
    source = worker(program)
    assert source.opinion(point()) is None
    assert source.failed == fails


def test_a_process_that_does_not_answer_is_given_up(worker: Start):
    source = worker("import sys\nfor line in sys.stdin:\n    pass\n", seconds=0.2)
    assert source.opinion(point()) is None
    assert source.failed
    assert source.opinion(point(batch=1)) is None


def test_a_program_that_cannot_be_started_is_no_answer(tmp_path: Path):
    source = AiConfigurator((str(tmp_path / "missing"),))
    assert source.opinion(point()) is None
    assert source.failed


@dataclass
class Fixed:
    """A source with one answer to everything; it breaks after some answers."""

    tpot_seconds: float
    answers_left: int = 10**9
    name: str = "kernels 1.0"

    @property
    def failed(self) -> bool:
        return self.answers_left <= 0

    def opinion(self, point: ServingPoint) -> SecondOpinion | None:
        self.answers_left -= 1
        return None if self.failed else SecondOpinion(tpot_seconds=self.tpot_seconds)


def test_both_sources_meet_in_the_geometric_mean():
    alone, both = predict(point(A100)), predict(point(A100), second=Fixed(0.020))
    assert alone is not None
    assert both is not None
    assert both.tpot_milliseconds == pytest.approx((alone.tpot_milliseconds * 20) ** 0.5, abs=1)
    assert (alone.source, both.source) == (PredictionSource.TRANSFERRED, PredictionSource.TRANSFERRED)
    assert both.source_text == "Transferred, TPOT with kernels 1.0"
    assert (both.ttft_milliseconds, both.error_percent) == (alone.ttft_milliseconds, alone.error_percent)


def test_a_mere_roofline_becomes_transferred_where_kernels_were_measured():
    chat = point(A100, shape=shape("deepseek-ai/deepseek-llm-7b-chat"), parallelism=Parallelism())
    alone, both = predict(chat), predict(chat, second=Fixed(0.020))
    assert alone is not None
    assert both is not None
    assert (alone.source, both.source) == (PredictionSource.ROOFLINE, PredictionSource.TRANSFERRED)
    assert both.error_percent == alone.error_percent


def test_a_latent_cache_is_predicted_by_the_roofline_alone():
    r1 = point("h200-sxm", shape=shape(R1), parallelism=Parallelism(tensor=8))
    assert predict(r1, second=Fixed(0.001)) == predict(r1)


def test_a_plan_says_that_two_sources_took_part():
    found = plan_with(Fixed(0.020), request(), supply(pool(H100)))
    assert isinstance(found, Plan)
    assert any("(Transferred, TPOT with kernels 1.0)" in reason for reason in found.reasons)


@pytest.mark.parametrize("answers", [0, 3])
def test_a_source_that_breaks_leaves_the_plan_as_without_it(answers: int):
    asked, available = request(), supply(pool(H100), pool(A100))
    assert plan_with(Fixed(0.001, answers_left=answers), asked, available) == plan(asked, available)


def test_a_source_is_no_part_of_the_question():
    assert replace(request(), second_source=Fixed(0.020)) == request()
    assert planned(replace(request(), second_source=None), supply(pool(H100))) == planned(request(), supply(pool(H100)))


@dataclass
class ByStep(Fixed):
    """A source that finds steps of 4,096 tokens a sixth faster than all others."""

    def opinion(self, point: ServingPoint) -> SecondOpinion | None:
        return SecondOpinion(
            tpot_seconds=self.tpot_seconds if point.max_num_batched_tokens == 4096 else 1.2 * self.tpot_seconds
        )


@pytest.mark.parametrize(("pinned", "expected"), [(None, 4096), (8192, None)])
def test_steps_follow_the_second_source_where_the_service_level_needs_them(pinned: int | None, expected: int | None):
    asked = request(max_num_batched_tokens=pinned, parallelism=PinnedParallelism(tensor=4, pipeline=1, data=1))
    found = plan_with(ByStep(0.095), asked, supply(pool(H100)))
    assert (found.max_num_batched_tokens if isinstance(found, Plan) else None) == expected


def test_steps_stay_the_engines_where_no_service_level_is_asked_for():
    asked = request(sla=None, parallelism=PinnedParallelism(tensor=4, pipeline=1, data=1))
    found = plan_with(ByStep(0.095), asked, supply(pool(H100)))
    assert isinstance(found, Plan)
    assert found.max_num_batched_tokens == 8192
