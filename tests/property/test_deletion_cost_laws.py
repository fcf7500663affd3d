"""Laws of the order in which replicas go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.scaling.deletion_cost import deletion_costs

names = st.sampled_from("abcdefgh")


@given(
    pods=st.sets(names),
    in_flight=st.dictionaries(names, st.floats(0.0, 1e6)),
    going=st.integers(0, 10),
)
def test_the_emptiest_are_chosen_and_nobody_of_whom_nothing_is_known(
    pods: set[str], in_flight: dict[str, float], going: int
):
    costs = deletion_costs(pods, in_flight, going)
    chosen = {name for name in pods if costs[name] < 0}
    told = pods & in_flight.keys()
    assert costs.keys() == pods
    assert chosen <= told
    assert len(chosen) == min(going, len(told))
    assert all(in_flight[goes] <= in_flight[stays] for goes in chosen for stays in told - chosen)
    assert sorted(costs[name] for name in chosen) == list(range(-len(chosen), 0))
