"""Waiting until an operator has nothing more to do, and counting what it writes."""

from __future__ import annotations

import itertools

from cluster.deployments import versions
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess
from cluster.polling import eventually

PASSES = 'deepseek_operator_reconciles_total{result="ok"}'

_numbers = itertools.count()


def one_more_pass(kubectl: Kubectl, operator: OperatorProcess) -> None:
    """Change metadata that the operator does not read, and wait until it has looked."""
    before = operator.metric(PASSES)
    kubectl("annotate", "dsd", "--all", "--overwrite", f"example.com/woken={next(_numbers)}")
    eventually(lambda: operator.metric(PASSES) > before, what="a pass over the annotated object")


def writes(operator: OperatorProcess) -> list[str]:
    """Return the counters of all API calls but those for the Lease."""
    lines = operator.page("/metrics").splitlines()
    return [line for line in lines if line.startswith("deepseek_operator_api_calls_total") and "leases" not in line]


def writes_of_children(operator: OperatorProcess) -> list[str]:
    """Return the counters of calls that write or delete something else than our own status."""
    reads = ('verb="GET"', 'resource="deepseekdeployments"')
    return [line for line in writes(operator) if not any(each in line for each in reads)]


def children_of(found: dict[tuple[str, str, str], str]) -> dict[tuple[str, str, str], str]:
    """Leave out the objects that the test itself annotates."""
    return {key: value for key, value in found.items() if key[0] != "DeepSeekDeployment"}


def settle(kubectl: Kubectl, operator: OperatorProcess) -> None:
    """Wait until a pass changes nothing any more."""

    def is_still() -> bool:
        before = children_of(versions(kubectl)), writes(operator)
        one_more_pass(kubectl, operator)
        return before == (children_of(versions(kubectl)), writes(operator))

    eventually(is_still, what="nothing changes any more")
