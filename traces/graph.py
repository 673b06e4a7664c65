"""A block or a step as a directed acyclic networkx graph."""

from collections.abc import Iterator
from typing import TypeAlias

import networkx

from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator
from dieshot.traces.trace import Block, Step

OperatorGraph: TypeAlias = "networkx.DiGraph[str]"


def block_graph(block: Block) -> OperatorGraph:
    """Return one instance of the block; inputs from outside have no edge. Edges carry `n_bytes`."""
    graph: OperatorGraph = networkx.DiGraph()
    _add_instance(graph, block, "", {})
    return graph


def step_graph(step: Step, expand: bool) -> OperatorGraph:
    """Return the blocks of the step, chained.

    Nodes are named block/operator, or block/i_repeat/operator when `expand`, with the attributes `operator`,
    `block` and `repeat` (how many equal instances the node stands for).
    """
    graph: OperatorGraph = networkx.DiGraph()
    outside: dict[str, str] = {}
    for prefix, block in _instances(step, expand):
        outside = _add_instance(graph, block, prefix, outside)
        repeat = 1 if expand else block.repeat
        for operator in block.operators:
            graph.nodes[prefix + operator.name].update(block=block.name, repeat=repeat)
    return graph


def _instances(step: Step, expand: bool) -> Iterator[tuple[str, Block]]:
    for block in step.blocks:
        if expand and block.repeat > 1:
            yield from ((f"{block.name}/{i_repeat}/", block) for i_repeat in range(block.repeat))
        else:
            yield f"{block.name}/", block


def _add_instance(graph: OperatorGraph, block: Block, prefix: str, outside: dict[str, str]) -> dict[str, str]:
    """Add the operators of one instance and return the nodes that the next one knows as PREVIOUS and RESIDUAL."""
    nodes = dict(outside)
    for operator in block.operators:
        node = prefix + operator.name
        graph.add_node(node, operator=operator)
        producers = {nodes[name]: n_bytes for name, n_bytes in operator.inputs.items() if name in nodes}
        for producer, n_bytes in producers.items():
            graph.add_edge(producer, node, n_bytes=n_bytes)
        if _leaves_residual(operator, nodes.get(RESIDUAL) in producers):
            nodes[RESIDUAL] = node
        nodes[operator.name] = node
    boundary = {PREVIOUS: prefix + block.operators[-1].name}
    return boundary | {RESIDUAL: nodes[RESIDUAL]} if RESIDUAL in nodes else boundary


def _leaves_residual(operator: Operator, reads_residual: bool) -> bool:
    """Whether the residual stream is this operator's output; a reduced embedding is one too."""
    return operator.kind in ("embedding", "norm") or (operator.kind == "all_reduce" and reads_residual)
