"""From an operator to the plans that a compiler would weigh, and from plans to the program of a stretch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from dieshot.chips.mapping.attention_dims import attention_dims
from dieshot.chips.mapping.photonic import attention, gemm
from dieshot.chips.mapping.photonic.machine import Draft, PhotonicMachine, Plan
from dieshot.chips.parameters.photonic import formats_of
from dieshot.chips.parts.photonic.program import NONE, PhotonicProgram, Step
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator


def operator_key(machine: PhotonicMachine, operator: Operator) -> Hashable:
    """Return what tells operators apart on a chip; decode attention reads whole blocks of the cache."""
    dims = dict(operator.dims)
    if operator.kind == "attention" and dims["q_len"] == 1:
        dims["kv_len"] = attention.padded_keys(machine, attention_shape(machine, operator))
    sizes = (tuple(operator.inputs.values()), operator.weight_bytes, operator.output_bytes)
    formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    return (operator.kind, tuple(dims.items()), formats, sizes, operator.group_rows)


def useful_macs(machine: PhotonicMachine, operator: Operator) -> int:
    """Return the MACs that are no padding; of decode attention those of whole blocks, as all that is equal on a
    chip."""
    if operator.kind != "attention" or operator.dims["q_len"] > 1:
        return operator.macs
    shape = attention_shape(machine, operator)
    return 2 * shape.batch * shape.heads * shape.head_dim * attention.padded_keys(machine, shape)


def refuse(machine: PhotonicMachine, operator: Operator) -> None:
    """Raise UnsupportedError for an operator whose operands the converters do not take."""
    taken = formats_of(machine.p)
    if operator.macs and operator.dtype not in taken:
        raise UnsupportedError(
            f"{machine.p.name} has no converters for {operator.dtype} (operator {operator.name}); "
            f"it multiplies {', '.join(taken)}"
        )


def plans(machine: PhotonicMachine, operator: Operator) -> list[Plan]:
    """Return the plans worth simulating."""
    if operator.kind in ("gemm", "grouped_gemm"):
        return gemm.plans(machine, operator)
    if operator.kind == "attention":
        return attention.plans(machine, attention_shape(machine, operator))
    return [_digital(machine, operator)]


def attention_shape(machine: PhotonicMachine, operator: Operator) -> attention.AttentionShape:
    """Return the shape of an attention operator."""
    return attention.AttentionShape(
        **attention_dims(operator),
        from_cache=operator.kv_dtype is not None,
        spilled_in=machine.spilled(operator.input_bytes),
        spilled_out=machine.spilled(operator.output_bytes),
    )


def _digital(machine: PhotonicMachine, operator: Operator) -> Plan:
    """Return the plan of an operator without matrix work: the lanes do it."""
    loads = sum(machine.spilled(n_bytes) for n_bytes in operator.inputs.values())
    store = machine.spilled(operator.output_bytes) + operator.kv_write_bytes
    draft = Draft(
        load=loads + operator.weight_bytes + operator.kv_read_bytes,
        gated=loads > 0,
        ops=operator.vector_ops * machine.p.software.elementwise_ops,
        transcendental=float(operator.transcendental_ops),
        store=store,
    )
    return machine.plan("digital", [draft])


def joined(machine: PhotonicMachine, operators: Sequence[Operator], stretch: Sequence[Plan]) -> PhotonicProgram:
    """Return the program of plans that follow each other, one an operator."""
    steps: list[Step] = []
    for number, plan in enumerate(stretch):
        first = len(steps)
        for step in plan.steps:
            after = NONE if step.after == NONE else first + step.after
            steps.append(replace(step, operator=number, after=after))
    issue = [machine.p.program.operator] * len(stretch)
    issue[0] += machine.p.program.region
    bits = tuple(machine.value_bits(operator.dtype) for operator in operators)
    return PhotonicProgram(tuple(steps), tuple(issue), bits)
