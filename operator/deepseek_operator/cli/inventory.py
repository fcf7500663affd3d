"""``inventory``: a small snapshot of what planning needs to know about a cluster."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from deepseek_operator.cli.files import ClusterFile, Kubeconfig, read_facts
from deepseek_operator.cli.output import Output, OutputFormat, console, write

if TYPE_CHECKING:
    from deepseek_operator.capacity.inventory import Inventory
    from deepseek_operator.capacity.node_shares import ShareOffer


def inventory(cluster: ClusterFile = None, kubeconfig: Kubeconfig = None, output: Output = OutputFormat.JSON) -> None:
    """Print the nodes and GPU pods of a cluster: JSON for --cluster of the other verbs, or a table for people."""
    from deepseek_operator.capacity.inventory import inventory as build
    from deepseek_operator.capacity.snapshot import snapshot

    facts = read_facts(cluster, kubeconfig)
    if output is OutputFormat.TABLE:
        _print_table(build(facts.nodes, facts.pods))
    else:
        write(snapshot(facts.nodes, facts.pods, facts.measurements, facts.features, claims=facts), output)


def _offered(offer: ShareOffer) -> str:
    return f"{offer.slices} x {offer.share}"


def _print_table(found: Inventory) -> None:
    from rich.table import Table

    from deepseek_operator.capacity.gpu_states import GPU_STATES, gpu_states
    from deepseek_operator.units import format_gib

    table = Table(box=None, pad_edge=False)
    for heading in ("Node", "GPU", "GPUs", "Free", "Memory", "Host memory", "Remarks"):
        table.add_column(heading, justify="left" if heading in ("Node", "GPU", "Remarks") else "right")
    for node in found.nodes:
        table.add_row(
            node.name,
            node.gpu.id if node.gpu else node.product or "unknown",
            str(node.physical_gpus),
            str(node.free_gpus),
            format_gib(node.usable_memory_bytes) if node.usable_memory_bytes else "-",
            format_gib(node.host_memory_bytes) if node.host_memory_bytes else "-",
            "; ".join((*map(_offered, node.shares), *node.exclusions, *node.warnings)),
        )
    screen = console(unbroken=True)
    screen.print(table)
    states = Counter[str]()
    for node in found.nodes:
        states.update(gpu_states(node))
    parts = ", ".join(f"{states[state]} {state}" for state in GPU_STATES if states[state])
    screen.print(
        f"{states.total()} GPUs on {len(found.nodes)} nodes{f' ({parts})' if parts else ''}; "
        f"{found.nodes_without_gpus} other nodes"
    )
