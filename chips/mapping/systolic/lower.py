"""From an operator to the plans that a compiler would weigh, and from plans to the program of a stretch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from dieshot.chips.mapping.attention_dims import attention_dims
from dieshot.chips.mapping.systolic import attention, gemm, vector
from dieshot.chips.mapping.systolic.machine import Plan, Rows, SystolicMachine
from dieshot.chips.parts.systolic.core_program import AFTER, HOLD, NONE, OPERATOR, CoreProgram
from dieshot.simulator.engine.chip import InfeasibleError, UnsupportedError
from dieshot.traces.operator import Operator


def operator_key(machine: SystolicMachine, operator: Operator) -> Hashable:
    """Return what tells operators apart on a chip; decode attention reads whole pages of the cache."""
    dims = dict(operator.dims)
    if operator.kind == "attention" and operator.dims["q_len"] == 1:
        dims["kv_len"] = attention.pages(machine, attention_shape(operator))
    sizes = (tuple(operator.inputs.values()), operator.weight_bytes, operator.output_bytes)
    formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    return (operator.kind, tuple(dims.items()), formats, sizes, operator.group_rows, operator.shard)


def useful_macs(machine: SystolicMachine, operator: Operator) -> int:
    """Return the MACs that are no padding; of decode attention those of whole pages, as all that is equal on a chip."""
    if operator.kind != "attention" or operator.dims["q_len"] > 1:
        return operator.macs
    shape = attention_shape(operator)
    n_keys = attention.pages(machine, shape) * machine.p.attention.page
    return 2 * shape.batch * shape.heads * shape.head_dim * n_keys


def refuse(machine: SystolicMachine, operator: Operator) -> None:
    """Raise UnsupportedError for an operator that the arrays cannot multiply."""
    rates = machine.mac_rate
    if operator.macs and operator.dtype not in rates:
        raise UnsupportedError(
            f"{machine.p.name} has no matrix unit for {operator.dtype} (operator {operator.name}); "
            f"it multiplies {', '.join(sorted(rates))}"
        )
    if operator.kind in ("gemm", "grouped_gemm"):
        shape = gemm_shape(machine, operator)
        need = gemm.least_tile_bytes(machine, shape)
        if need > machine.timing.vmem_bytes // 2:
            raise UnsupportedError(
                f"{machine.p.name} cannot hold a tile of weights of operator {operator.name}: {need} bytes of its "
                f"scratchpads' {machine.timing.vmem_bytes}, expected at most half"
            )


def plans(machine: SystolicMachine, operator: Operator) -> list[Plan]:
    """Return the plans worth simulating, best by closed form first."""
    if operator.kind in ("gemm", "grouped_gemm"):
        shape = gemm_shape(machine, operator)
        best = gemm.candidates(machine, shape)[: machine.p.software.candidates_simulated]
        return [gemm.build(machine, shape, tiling) for tiling in best]
    if operator.kind == "attention":
        return [attention.build(machine, attention_shape(operator))]
    return [vector.build(machine, operator)]


def gemm_shape(machine: SystolicMachine, operator: Operator) -> gemm.GemmShape:
    """Return the shape of a GEMM, grouped or not."""
    dims = operator.dims
    rows = tuple(n for n in operator.group_rows if n) if operator.group_rows else (dims["M"],)
    return gemm.GemmShape(
        rows=rows,
        n=dims["N"],
        k=dims["K"],
        dtype=operator.dtype,
        weight_dtype=operator.weight_dtype or operator.dtype,
        output_dtype=operator.output_dtype,
        weight_bytes=operator.weight_bytes,
        shard_k=operator.shard in ("row", "experts_row") and machine.n_cores > 1,
        spilled_in=machine.spilled(operator.input_bytes) > 0,
        spilled_out=machine.spilled(operator.output_bytes) > 0,
    )


def attention_shape(operator: Operator) -> attention.AttentionShape:
    """Return the shape of an attention operator."""
    return attention.AttentionShape(
        **attention_dims(operator),
        from_cache=operator.kv_dtype is not None,
        input_bytes=operator.input_bytes,
        output_bytes=operator.output_bytes,
    )


def joined(machine: SystolicMachine, stretch: Sequence[Plan]) -> CoreProgram:
    """Return the program of plans that follow each other after a collective."""
    parts = []
    first = 0
    for number, plan in enumerate(stretch):
        steps = plan.steps.copy()
        steps[:, OPERATOR] = number
        steps[:, AFTER] = np.where(steps[:, AFTER] == NONE, NONE, steps[:, AFTER] + first)
        parts.append(steps)
        first += len(steps)
    issue = [plan.issue_fs for plan in stretch]
    issue[0] += machine.p.program.region
    resident = max(plan.resident_bytes for plan in stretch)
    steps = np.concatenate(parts)
    _check_room(machine, steps, resident)
    return CoreProgram(steps, tuple(issue), tuple(plan.exchange_fs for plan in stretch), resident)


def _check_room(machine: SystolicMachine, steps: Rows, resident_bytes: int) -> None:
    """Raise InfeasibleError where a tile does not fit beside the tensors that stay."""
    need = int(steps[:, HOLD].max()) + resident_bytes
    if need > machine.timing.vmem_bytes:
        per_core = -(-need // machine.n_cores)
        raise InfeasibleError("vmem.capacity", machine.p.vmem.capacity, f"at least {per_core} bytes for a tile of it")
