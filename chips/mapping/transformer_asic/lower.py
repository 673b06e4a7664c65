"""From a stretch of operators to the programs that carry it out: all of it in one where it fits on the die, else group
by group, a group that does not fit in waves that begin anew."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.transformer_asic import attention, rows
from dieshot.chips.mapping.transformer_asic.attention import AttentionPart
from dieshot.chips.mapping.transformer_asic.group import Group, groups_of, operator_key
from dieshot.chips.mapping.transformer_asic.machine import AsicMachine, Draft, portion
from dieshot.chips.mapping.transformer_asic.rows import RowsGroup, RowsPart
from dieshot.chips.parts.systolic.core_program import CoreProgram
from dieshot.chips.parts.transformer_asic.program import HOLD, fused_program
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator

Part = RowsPart | AttentionPart


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a group, as a program or a piece of one; `operators` are all of the stretch."""

    group: Group
    part: Part


@dataclass(frozen=True, slots=True)
class Segment:
    """Tasks that make one program, which runs `times` times, one after the other; is_wave: a part of one group."""

    tasks: tuple[Task, ...]
    times: int = 1
    is_wave: bool = False


def segments(machine: AsicMachine, operators: Sequence[Operator]) -> Iterator[Segment]:
    """Yield the programs of a stretch: groups that take one part each go together."""
    joined: list[Task] = []
    for group in groups_of(operators):
        parts = parts_of(machine, operators, group)
        if len(parts) == 1 and parts[0][1] == 1:
            joined.append(Task(group, parts[0][0]))
            continue
        if joined:
            yield Segment(tuple(joined))
            joined = []
        yield from (Segment((Task(group, part),), times, is_wave=True) for part, times in parts)
    if joined:
        yield Segment(tuple(joined))


def parts_of(machine: AsicMachine, operators: Sequence[Operator], group: Group) -> Sequence[tuple[Part, int]]:
    """Return the parts of a group, each with how often it runs."""
    main = operators[group.main] if group.main is not None else None
    if main is not None and main.kind == "attention":
        return attention.parts_of(machine, main)
    return rows.parts_of(machine, rows_group(operators, group))


def rows_group(operators: Sequence[Operator], group: Group) -> RowsGroup:
    """Return the operators of a group without attention."""
    found = (operators[number] if number is not None else None for number in (group.front, group.main, group.back))
    return RowsGroup(*found)


def program_of(machine: AsicMachine, operators: Sequence[Operator], segment: Segment) -> CoreProgram:
    """Return the program of a segment; UnsupportedError where the die has no room for one of its tiles."""
    draft = Draft()
    source: list[int] = []
    resident = 0
    for number, task in enumerate(segment.tasks):
        main = operators[task.group.main] if task.group.main is not None else None
        if isinstance(task.part, AttentionPart):
            assert main is not None
            resident = max(resident, attention.resident_bytes(machine, main))
            source = attention.draft_attention(machine, draft, number, main, task.part, source)
        else:
            group = rows_group(operators, task.group)
            resident = max(resident, rows.resident_bytes(machine, group, task.part))
            source = rows.draft_rows(machine, draft, number, group, task.part, source)
    resident += _carried(machine, operators)
    steps = draft.rows()
    need = int(steps[:, HOLD].max()) + resident
    if need > machine.sram_bytes:
        name = operators[segment.tasks[0].group.chief].name
        room = f"{need} bytes of its SRAM's {machine.sram_bytes}"
        raise UnsupportedError(f"{machine.p.name} cannot hold the tiles of operator {name}: {room}")
    issue = [machine.p.program.group] * len(segment.tasks)
    issue[0] += machine.p.program.region
    return fused_program(steps, tuple(issue), resident)


def _carried(machine: AsicMachine, operators: Sequence[Operator]) -> int:
    """Return the room of the residual stream, which waits beside the other tensors."""
    norms = [operator for operator in operators if operator.kind == "norm" and operator.dims["writes_residual"]]
    streams = [next(iter(norm.inputs.values())) for norm in norms]
    return max((n for n in streams if not machine.spilled(n)), default=0)


def stretch_key(machine: AsicMachine, operators: Sequence[Operator]) -> tuple[Hashable, ...]:
    """Return what tells stretches apart on the die."""
    return tuple(
        operator_key(each, attention.pages(machine, each) if each.kind == "attention" else None) for each in operators
    )


def useful_macs(machine: AsicMachine, operator: Operator, part: Part) -> int:
    """Return the MACs of an operator in a part, without padding."""
    if operator.kind == "attention":
        assert isinstance(part, AttentionPart)
        return attention.useful_macs(machine, operator, part.sequences)
    if not operator.macs:
        return 0
    assert isinstance(part, RowsPart)
    return portion(operator.macs, 0, part.rows * part.columns, operator.dims["M"] * operator.dims["N"])
