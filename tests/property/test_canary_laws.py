"""Laws of a change on trial: its share of the replicas, and what is certain of a sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.canary import at_least, canary_replicas


@given(percent=st.integers(min_value=1, max_value=50), stable=st.integers(min_value=1, max_value=1000))
def test_a_trial_gets_at_most_its_share_and_at_least_one_replica(percent: int, stable: int) -> None:
    replicas = canary_replicas(percent, stable)
    assert replicas >= 1
    assert replicas == 1 or 100 * replicas <= percent * (stable + replicas)
    assert 100 * (replicas + 1) > percent * (stable + replicas + 1)


@given(total=st.integers(min_value=0, max_value=10_000), share=st.floats(min_value=0, max_value=1))
def test_what_is_certain_is_less_than_what_was_seen(total: int, share: float) -> None:
    hits = int(total * share)
    assert 0 <= at_least(hits, total) <= (hits / total if total else 0) + 1e-12
