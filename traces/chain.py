"""Checking how the operators of a trace file fit together: inside a block, and from block to block."""

from dataclasses import dataclass

from dieshot.traces.error import TraceError, nearest_name
from dieshot.traces.operator import PREVIOUS, RESIDUAL
from dieshot.traces.trace import Block, Step


@dataclass(frozen=True, slots=True)
class Boundary:
    """What a block needs from the one before it and leaves to the one after it.

    reads: bytes wanted of PREVIOUS and RESIDUAL. output_bytes: of the last operator. residual_bytes: what its last
    embedding or norm wrote, None where it has none. attention_shapes: (batch, q_len, kv_len) of its kernels.
    """

    reads: dict[str, int]
    output_bytes: int
    residual_bytes: int | None
    attention_shapes: frozenset[tuple[int, int, int]]


def boundary_of(block: Block, where: str) -> Boundary:
    """Check the edges inside the block (producers precede their readers: no cycle) and return its boundary."""
    produced: dict[str, int] = {}
    reads: dict[str, int] = {}
    residual_bytes: int | None = None
    for operator in block.operators:
        for producer, n_bytes in operator.inputs.items():
            if producer == PREVIOUS or (producer == RESIDUAL and residual_bytes is None):
                reads[producer] = max(n_bytes, reads.get(producer, 0))
                continue
            available = residual_bytes if producer == RESIDUAL else produced.get(producer)
            _check_read(block, where, f"{operator.name}.inputs.{producer}", producer, n_bytes, available, produced)
        if operator.name in produced:
            raise TraceError(where, "operators", f"block {block.name!r} has two operators named {operator.name!r}")
        produced[operator.name] = operator.output_bytes
        if operator.kind in ("embedding", "norm"):
            residual_bytes = operator.output_bytes
    return Boundary(reads, block.operators[-1].output_bytes, residual_bytes, _attention_shapes(block))


def check_step(step: Step, boundaries: list[Boundary], where: str) -> None:
    """Check that each block finds what it reads, and that attention has the shape that the step says."""
    previous: int | None = None
    residual: int | None = None
    for block, boundary in zip(step.blocks, boundaries, strict=True):
        _check_attention(step, block, boundary, where)
        for _ in range(min(block.repeat, 2)):
            # The step's own input has no producer to be held against.
            if previous is not None:
                _check_boundary(block, boundary, PREVIOUS, previous, where)
            _check_boundary(block, boundary, RESIDUAL, residual, where)
            previous = boundary.output_bytes
            residual = residual if boundary.residual_bytes is None else boundary.residual_bytes


def _check_read(
    block: Block,
    where: str,
    key: str,
    producer: str,
    n_bytes: int,
    available: int | None,
    produced: dict[str, int],
) -> None:
    if available is None:
        problem = f"no operator {producer!r} earlier in block {block.name!r} (missing, or a cycle)"
        raise TraceError(where, key, problem, nearest=nearest_name(producer, produced))
    if n_bytes > available:
        raise TraceError(where, key, f"{n_bytes} bytes are read, expected at most the {available} that it writes")


def _check_boundary(block: Block, boundary: Boundary, source: str, available: int | None, where: str) -> None:
    wanted = boundary.reads.get(source)
    if wanted is None:
        return
    if available is None:
        raise TraceError(where, "blocks", f"block {block.name!r} reads {source}, which no operator has written")
    if wanted > available:
        problem = f"block {block.name!r} reads {wanted} bytes of {source}, expected at most {available}"
        raise TraceError(where, "blocks", problem)


def _check_attention(step: Step, block: Block, boundary: Boundary, where: str) -> None:
    expected = (step.batch, step.tokens, step.kv_len)
    for shape in boundary.attention_shapes:
        if shape != expected:
            problem = f"attention of block {block.name!r} has batch, q_len, kv_len {shape}, expected {expected}"
            raise TraceError(where, "blocks", problem)


def _attention_shapes(block: Block) -> frozenset[tuple[int, int, int]]:
    return frozenset(
        (operator.dims["batch"], operator.dims["q_len"], operator.dims["kv_len"])
        for operator in block.operators
        if operator.kind == "attention"
    )
