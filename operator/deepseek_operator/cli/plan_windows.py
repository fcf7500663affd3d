"""What a deployment would run while a window with a model of its own is open."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepseek_operator.api.v1alpha1 import DeepSeekDeployment
    from deepseek_operator.capacity.inventory import Inventory


def window_sentences(
    deployment: DeepSeekDeployment, inventory: Inventory, usd_per_hour: Mapping[str, Decimal]
) -> list[str]:
    """Return one sentence for each window that names a smaller model, planned as the operator plans it.

    Args:
        deployment: the parsed object.
        inventory: of the cluster.
        usd_per_hour: prices of one GPU by catalogue id.
    """
    from deepseek_operator.api.ladder import Position
    from deepseek_operator.api.spec_scaling import FallbackTrigger
    from deepseek_operator.cli.plan import answer
    from deepseek_operator.errors import shortened
    from deepseek_operator.planner.compromise import CompromiseKind
    from deepseek_operator.planner.result import Infeasible

    said = []
    for fallback in deployment.spec.fallbacks:
        if fallback.when is not FallbackTrigger.SCHEDULE or fallback.schedule is None:
            continue
        position = Position(model=fallback.model, window=fallback.schedule)
        found = answer(deployment, inventory, usd_per_hour, position)
        opens = f"while the window {fallback.schedule} is open"
        if isinstance(found, Infeasible):
            said.append(f"{opens} there is no plan: {found.message}")
        elif found.compromise is not None and found.compromise.kind is CompromiseKind.SCHEDULE:
            cost = "" if found.cost_per_hour_usd is None else f", {found.cost_per_hour_usd:.2f} USD per hour"
            each = f"{found.gpus_per_replica} x {found.gpu_name}, {found.parallelism}, {found.quantization}"
            said.append(f"{opens}: {shortened(found.model_name)} on {found.replicas} x ({each}){cost}")
        else:
            said.append(f"{opens}: {found.reasons[0]}")
    return said
