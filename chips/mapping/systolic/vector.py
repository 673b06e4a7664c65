"""Operators without matrix work on a systolic chip: the lanes work on tensors in the scratchpads, or stream them."""

from __future__ import annotations

import numpy as np

from dieshot.chips.mapping.systolic.machine import Plan, Rows, SystolicMachine, stacked, step_row
from dieshot.traces.operator import Operator

CHUNK_BYTES = 1 << 20  # of a tensor that streams through the scratchpads


def build(machine: SystolicMachine, operator: Operator) -> Plan:
    """Return the plan: one step, or one a chunk where tensors go through HBM."""
    loads = sum(machine.spilled(n_bytes) for n_bytes in operator.inputs.values())
    stores = machine.spilled(operator.output_bytes)
    n_cores = 1 if operator.shard == "replicate" and machine.n_cores > 1 else machine.n_cores
    repeated = machine.n_cores // n_cores
    parameters = operator.weight_bytes + (0 if operator.kind == "attention" else operator.kv_read_bytes)
    n_chunks = max(1, -(-max(loads, stores) // CHUNK_BYTES))
    ops = operator.vector_ops * machine.p.software.elementwise_ops_factor
    worked = operator.input_bytes + operator.output_bytes
    steps: list[Rows] = []
    if parameters:
        steps.append(step_row(load=parameters, hold=parameters))
    for read, written in zip(_spread(loads, n_chunks), _spread(stores, n_chunks), strict=True):
        steps.append(
            step_row(
                load=read,
                gated=1 if read else 0,
                hold=read,
                vector=machine.vector_fs(ops / n_chunks / n_cores, operator.transcendental_ops / n_chunks / n_cores),
                ops=int(repeated * (ops + operator.transcendental_ops) / n_chunks),
                store=written,
                worked=repeated * worked // n_chunks,
            )
        )
    if operator.kv_write_bytes:
        steps.append(step_row(store=operator.kv_write_bytes))
    resident = worked - loads - stores
    return Plan(stacked(steps), machine.p.program.operator, resident_bytes=max(0, resident))


def _spread(total: int, n: int) -> list[int]:
    parts = np.full(n, total // n, np.int64)
    parts[: total % n] += 1
    return [int(part) for part in parts]
