"""Whether weights, cache and buffers of a model fit into the PEs of their regions, and how the wafer is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dieshot.chips.mapping.wafer.decode import kv_positions
from dieshot.chips.mapping.wafer.lower import MULTIPLIES, Lowering, lies_with_tables, tokens_of
from dieshot.chips.mapping.wafer.pe import ELEMENT_BYTES, n_bytes
from dieshot.chips.mapping.wafer.phase import OTHER, X, Y
from dieshot.chips.mapping.wafer.place import Placement, place
from dieshot.chips.mapping.wafer.prefill import Grid
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.machine import StepLike
from dieshot.traces.operator import Operator

Steps = Sequence[StepLike]


@dataclass(frozen=True)
class Need:
    """Bytes of one PE."""

    weights: int
    cache: int
    buffers: int

    @property
    def all(self) -> int:
        """Their sum."""
        return self.weights + self.cache + self.buffers


def plan(p: WaferParameters, lowering: Lowering, stages: Sequence[Steps], n_parts: int, micro_batches: int) -> Lowering:
    """Return the lowering with the strip of tables, the widths of merged projections and the chunk of prompts.

    UnsupportedError where the PEs of a region cannot hold what lies there, saying by how much.
    """
    parts = {key: widths for steps in stages for key, widths in _merged_widths(steps)}
    have = p.pe.sram - p.pe.reserved
    decoded = {tokens_of(operator) for steps in stages for operator, _ in _operators(steps) if _decodes(operator)}
    lowering = replace(lowering, parts=parts, decoded=frozenset(decoded))
    if n_parts > 1:
        tables = [_table_operators(steps) for steps in stages]
        together = [operator for each in tables for operator in each]
        groups = [together] if len(stages) <= n_parts else tables
        columns = max(_table_columns(p, lowering, group, have) for group in groups)
        lowering = replace(lowering, placement=place(p, n_parts, columns))
    needs = [_need(lowering, steps, micro_batches) for steps in stages]
    worst = max(range(len(needs)), key=lambda stage: needs[stage].all)
    need = needs[worst]
    if need.all > have:
        layers = lowering.placement.layers
        raise UnsupportedError(
            f"{p.name}: a PE of stage {worst} ({layers.rows} x {layers.columns} PEs) needs {need.all} B "
            f"({need.weights} weights, {need.cache} cache, {need.buffers} buffers), {need.all - have} B more than "
            f"the {have} B that it has"
        )
    free = have - need.weights - need.cache
    group = free // max(1, need.buffers) if need.buffers else lowering.group_tokens
    chunk = _chunk(lowering, stages, free)
    if chunk == 0:  # not even a token a row fits in: prompts are vectors, too
        decoded |= {tokens_of(operator) for steps in stages for operator, _ in _operators(steps, last=False)}
    chunk = max(chunk, lowering.placement.layers.rows)
    return replace(lowering, chunk_tokens=chunk, group_tokens=group, decoded=frozenset(decoded))


def _decodes(operator: Operator) -> bool:
    return operator.kind == "attention" and operator.dims["q_len"] == 1


def _operators(steps: Steps, last: bool = True) -> list[tuple[Operator, int]]:
    """Return the operators of a step, each with how often it is there."""
    step = steps[-1] if last else steps[0]
    return [(operator, block.repeat) for block in step.blocks for operator in block.operators]


def _merged_widths(steps: Steps) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """Return the widths of Q, K and V in a merged projection, from the heads of the operator that reads it."""
    found: list[tuple[tuple[int, int], tuple[int, ...]]] = []
    operators = [operator for operator, _ in _operators(steps)]
    for projection, reader in pairwise(operators):
        if reader.kind == "rope_kv_append" and projection.kind == "gemm":
            query, key = (reader.dims[each] * reader.dims["head_dim"] for each in ("heads", "kv_heads"))
            found.append(((projection.dims["N"], projection.dims["K"]), (query, key, key)))
    return found


def _table_operators(steps: Steps) -> list[Operator]:
    return [operator for operator, _ in _operators(steps) if lies_with_tables(operator)]


def _table_columns(p: WaferParameters, lowering: Lowering, operators: Sequence[Operator], have: int) -> int:
    """Return the narrowest strip over all rows of the wafer whose PEs hold the tables; 0 without tables."""
    if not any(operator.resident_weight_bytes for operator in operators):
        return 0
    total = sum(operator.resident_weight_bytes for operator in operators)
    columns = max(1, total // (p.fabric.rows * have))
    while columns < p.fabric.columns:
        strip = replace(place(p, 1).layers, name="tables", rows=p.fabric.rows, columns=columns)
        trial = replace(lowering, placement=Placement(lowering.placement.layers, strip, 0))
        if sum(_table_bytes(trial, operator) for operator in operators) <= have:
            return columns
        columns += 1
    return columns


def _table_bytes(lowering: Lowering, operator: Operator) -> int:
    """Return what a PE holds of a table, or of logits: rows along the long axis, features along the short one."""
    region, dims = lowering.region_of(operator), operator.dims
    short = X if region.columns <= region.rows else Y
    long = OTHER[short]
    if operator.kind == "embedding":
        rows = region.share(dims["vocab"], long)
        return rows * region.share(dims["hidden"], short) * n_bytes(operator.weight_dtype)
    if operator.kind == "sample":
        return ELEMENT_BYTES * region.share(dims["vocab"], long)  # one token after the other
    return lowering.tile_bytes(operator, short)[0]


def _need(lowering: Lowering, steps: Steps, micro_batches: int) -> Need:
    """Return what a PE of a stage's region needs: weights of all its layers, caches at the end, vectors at work."""
    layers, split, weights, cache = lowering.placement.layers, Y, 0, 0
    shared = lowering.placement.tables == layers
    for operator, repeat in _operators(steps):
        if lies_with_tables(operator):
            weights += _table_bytes(lowering, operator) if shared else 0
            continue
        stored, split = lowering.tile_bytes(operator, split)
        weights += stored * repeat
        if operator.kind == "attention" and operator.kv_dtype:
            features = layers.share(operator.dims["kv_heads"] * operator.dims["head_dim"], split)
            positions = operator.dims["batch"] * kv_positions(operator, layers, OTHER[split])
            cache += repeat * 2 * positions * features * n_bytes(operator.kv_dtype) * micro_batches
    return Need(weights, cache, _token_bytes(lowering, steps))


def _token_bytes(lowering: Lowering, steps: Steps) -> int:
    """Return what a PE needs for one token at work: input and output of the widest projection, twice."""
    layers, widest, tokens = lowering.placement.layers, 0, 1
    for operator, _ in _operators(steps):
        if lies_with_tables(operator):
            continue
        if operator.kind == "norm":
            tokens = operator.dims["tokens"]
        if operator.kind in MULTIPLIES:
            # rows of experts are several to a token
            rows = -(-operator.dims["M"] // tokens)
            used = rows * (layers.share(operator.dims["K"], X) + layers.share(operator.dims["N"], X))
            widest = max(widest, 2 * ELEMENT_BYTES * used)
    return widest


def _chunk(lowering: Lowering, stages: Sequence[Steps], free: int) -> int:
    """Return the tokens of a prompt that a region takes at a time, as many to a row as free SRAM holds; 0 if none."""
    layers = lowering.placement.layers
    hidden = ffn = scores = longest = 0
    for operator, _ in (each for steps in stages for last in (False, True) for each in _operators(steps, last)):
        dims = operator.dims
        if operator.kind == "norm":
            hidden = max(hidden, dims["hidden"])
        elif operator.kind == "activation":
            ffn = max(ffn, dims["ffn"] * (1 + dims["gated"]))
        elif operator.kind == "attention":
            longest = max(longest, dims["batch"] * dims["q_len"])
            stretches = min(dims["kv_heads"], layers.columns)
            per_row = dims["heads"] // dims["kv_heads"] * dims["kv_len"] * stretches
            scores = max(scores, -(-per_row // layers.columns))
    rows = 0
    while rows * layers.rows < longest:
        grid = Grid(lowering.pe, layers, lowering.separate, (rows + 1) * layers.rows)
        if grid.buffer_bytes(hidden, ffn, scores * (rows + 1)) > free:
            break
        rows += 1
    return rows * layers.rows
