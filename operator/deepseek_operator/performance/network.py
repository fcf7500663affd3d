"""What a pass over the model waits for between nodes: with RDMA, or over TCP where pods are not given any.

Stages hand the activations of their tokens on; experts on other nodes get each token once per node (8 bits) and send
their part back (16 bits). Nothing here was fitted: no measured point spans nodes.
"""

from __future__ import annotations

from deepseek_operator.catalog.gpus import Gpu
from deepseek_operator.performance.features import EXPERT_ACTIVATION_BYTES, ServingPoint

RDMA_GB_PER_SECOND = 50.0
"""Per GPU and direction: one 400 Gb/s adapter for each GPU, as H100 and newer nodes have.

Source: aiconfigurator-core 0.12.0, ``systems/h100_sxm.yaml`` ``inter_node_bw``.
"""

OLDER_RDMA_GB_PER_SECOND = 25.0
"""The same before Hopper: one 200 Gb/s adapter for each GPU. Source: its ``systems/a100_sxm.yaml``."""

TCP_NODE_GB_PER_SECOND = 5.0
"""Of a whole node on 100 Gb/s Ethernet through NCCL's sockets, whatever the number of GPUs.

Source: NVIDIA/nccl issue 450: a bus bandwidth of 4 to 6 GB/s at best on four nodes of 8 GPUs at 100 Gb/s.
"""

TCP_SECONDS = 42e-6
"""Of the smallest message between two nodes through NCCL's sockets.

Source: NVIDIA/nccl-tests issue 82: 38 to 46 microseconds for 8 bytes.
"""

NODE_HOP_SECONDS = 100e-6
"""Assumed latency on top when the next pipeline stage is on another node; not measured."""

RDMA_ALL_TO_ALL_SECONDS = 122e-6
"""Extra latency per layer with experts when tokens go to experts on other nodes and back, with RDMA.

Source: DeepEP README, low-latency kernels on H800 with 400 Gb/s InfiniBand: 118 + 195 microseconds over 16 GPUs of two
nodes against 77 + 114 over the 8 GPUs of one node.
"""

ACTIVATION_BYTES = 2
"""Bytes of one activation between pipeline stages."""

_HOPPER = (9, 0)


def between_nodes_seconds(point: ServingPoint, tokens: float) -> float:
    """Return what one pass waits for other nodes; 0 for a replica on one node.

    Args:
        point: one replica.
        tokens: in the pass, over all data-parallel engines.
    """
    if point.nodes == 1:
        return 0.0
    seconds = _stages_seconds(point, tokens)
    experts = point.shape.experts
    if experts is not None and point.parallelism.data > 1:
        seconds += (point.shape.num_layers - experts.num_dense_layers) * _experts_seconds(point, tokens)
    return seconds


def prompt_network_seconds(point: ServingPoint) -> float:
    """Return what reading one prompt waits for other nodes, while the other data-parallel engines read theirs."""
    return between_nodes_seconds(point, point.input_tokens * point.parallelism.data)


def node_gb_per_second(gpu: Gpu, gpus: int, *, rdma: bool) -> float:
    """Return what one node sends to others, in decimal GB/s.

    Args:
        gpu: product of its GPUs.
        gpus: of the replica on that node.
        rdma: whether its pods are given RDMA devices.
    """
    if not rdma:
        return TCP_NODE_GB_PER_SECOND
    older = gpu.compute_capability is not None and gpu.compute_capability < _HOPPER
    return gpus * (OLDER_RDMA_GB_PER_SECOND if older else RDMA_GB_PER_SECOND)


def _stages_seconds(point: ServingPoint, tokens: float) -> float:
    """Handing on between the nodes of a pipeline; data-parallel engines over nodes add the same latency once."""
    hops = point.nodes - 1
    latency = hops * (NODE_HOP_SECONDS if point.rdma else NODE_HOP_SECONDS + TCP_SECONDS)
    if point.parallelism.pipeline == 1:
        return latency
    sent = tokens * point.shape.hidden_size * ACTIVATION_BYTES
    return latency + hops * sent / _node_bytes_per_second(point)


def _experts_seconds(point: ServingPoint, tokens: float) -> float:
    """To the experts of other nodes and back, for one layer; each node sends its tokens once to every other node."""
    leaving = tokens / point.nodes * (point.nodes - 1) * point.shape.hidden_size * EXPERT_ACTIVATION_BYTES
    latency = RDMA_ALL_TO_ALL_SECONDS if point.rdma else 2 * TCP_SECONDS
    return latency + leaving / _node_bytes_per_second(point)


def _node_bytes_per_second(point: ServingPoint) -> float:
    gpus = point.parallelism.world_size // point.nodes
    return 1e9 * node_gb_per_second(point.gpu, gpus, rdma=point.rdma)
