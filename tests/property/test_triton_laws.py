"""Laws of what Triton is told: any text survives the configuration, and the KV cache stays within the plan."""

from __future__ import annotations

from fractions import Fraction

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from deepseek_operator.memory.estimate import RankMemory
from deepseek_operator.resources.protobuf_text import Word, protobuf_text
from deepseek_operator.resources.triton_repository import kv_cache_fraction

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BYTES = st.integers(min_value=0, max_value=2**40)


@given(name=TEXT, parameters=st.dictionaries(TEXT, TEXT, max_size=3), dims=st.lists(st.integers(-1, 2**31), max_size=4))
def test_what_is_written_is_what_triton_reads(name: str, parameters: dict[str, str], dims: list[int]) -> None:
    text = protobuf_text(
        {
            "name": name,
            "max_batch_size": len(dims),
            "model_transaction_policy": {"decoupled": True},
            "input": [{"name": name, "data_type": Word("TYPE_STRING"), "dims": dims}],
            "parameters": [{"key": key, "value": {"string_value": value}} for key, value in parameters.items()],
        }
    )
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (config.name, config.max_batch_size, config.model_transaction_policy.decoupled) == (name, len(dims), True)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [
        (name, model_config_pb2.TYPE_STRING, dims)
    ]
    assert {key: each.string_value for key, each in config.parameters.items()} == parameters


@given(
    kv=st.integers(1, 2**40),
    weights=BYTES,
    activations=BYTES,
    runtime=BYTES,
    graphs=BYTES,
    outside=st.integers(0, 2**35),
)
def test_cache_takes_at_most_the_planned_bytes_and_misses_at_most_a_hundredth(
    kv: int, weights: int, activations: int, runtime: int, graphs: int, outside: int
) -> None:
    memory = RankMemory(
        stage=0,
        total_bytes=weights + activations + runtime + graphs + kv + outside,
        budget_bytes=weights + activations + runtime + graphs + kv,
        weights_bytes=weights,
        activations_bytes=activations,
        non_torch_bytes=runtime,
        cuda_graph_bytes=graphs,
        kv_cache_bytes=kv,
    )
    taken = Fraction(kv_cache_fraction(memory)) * (kv + outside)
    assert kv - Fraction(kv + outside, 100) <= taken <= kv
