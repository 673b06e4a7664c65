"""From a stretch of operators to the programs that carry it out: all of it in one where it fits on the die, else group
by group, a group that does not fit in waves that begin anew."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dieshot.chips.mapping.transformer_asic import attention, rows
from dieshot.chips.mapping.transformer_asic.attention import AttentionPart
from dieshot.chips.mapping.transformer_asic.group import Group, RowsGroup, groups_of, operator_key
from dieshot.chips.mapping.transformer_asic.machine import AsicMachine, Draft, portion
from dieshot.chips.mapping.transformer_asic.rows import RowsPart
from dieshot.chips.parts.systolic.core_program import CoreProgram
from dieshot.chips.parts.transformer_asic.program import FOLDS, HOLD, IN_BLOCKS, LOAD, RELEASE, Rows, fused_program
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator

Part = RowsPart | AttentionPart


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a group; its numbers are those of the segment's operators."""

    group: Group
    part: Part


@dataclass(frozen=True, slots=True)
class Segment:
    """Operators that one program carries out, from number `first` of the stretch on; it runs `times` times.

    carried_bytes: of the die, what waits beside (the residual stream). opens: the stretch begins with it. is_wave: the
    program is a part of one group. warm_bytes: of weights that are there before it begins; ahead_bytes: of those after
    it that are to be there when it ends.
    """

    operators: tuple[Operator, ...]
    first: int
    tasks: tuple[Task, ...]
    carried_bytes: int
    opens: bool
    times: int = 1
    is_wave: bool = False
    warm_bytes: int = 0
    ahead_bytes: int = 0


def segments(machine: AsicMachine, operators: Sequence[Operator]) -> Iterator[Segment]:
    """Yield the programs of a stretch: groups that take one part each go together."""
    carried = _carried(machine, operators)
    joined: list[Task] = []
    for group in groups_of(operators):
        parts = parts_of(machine, operators, group)
        if len(parts) == 1 and parts[0][1] == 1:
            joined.append(Task(group, parts[0][0]))
            continue
        if joined:
            yield _segment(operators, joined, carried)
            joined = []
        for index, (part, times) in enumerate(parts):
            wave = _segment(operators, [Task(group, part)], carried)
            yield replace(wave, opens=wave.opens and index == 0, times=times, is_wave=True)
    if joined:
        yield _segment(operators, joined, carried)


def _segment(operators: Sequence[Operator], tasks: Sequence[Task], carried_bytes: int) -> Segment:
    first, last = tasks[0].group.numbers[0], tasks[-1].group.numbers[-1]
    mine = tuple(Task(task.group.counted_from(first), task.part) for task in tasks)
    return Segment(tuple(operators[first : last + 1]), first, mine, carried_bytes, opens=first == 0)


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


def program_of(machine: AsicMachine, segment: Segment) -> tuple[CoreProgram, int]:
    """Return the program of a segment, and the bytes of later weights that are there when it ends.

    UnsupportedError where the die has no room for one of its tiles.
    """
    draft, operators = Draft(), segment.operators
    source: list[int] = []
    resident = 0
    for number, task in enumerate(segment.tasks):
        main = operators[task.group.main] if task.group.main is not None else None
        if isinstance(task.part, AttentionPart):
            assert main is not None
            resident = max(resident, attention.resident_bytes(machine, main, task.part))
            source = attention.draft_attention(machine, draft, number, main, task.part, source)
        else:
            group = rows_group(operators, task.group)
            resident = max(resident, rows.resident_bytes(machine, group, task.part))
            source = rows.draft_rows(machine, draft, number, group, task.part, source)
    resident += segment.carried_bytes + max(segment.warm_bytes, segment.ahead_bytes)
    left = _use_warm(draft, segment.warm_bytes)
    if segment.ahead_bytes > left:
        draft.add(group=len(segment.tasks) - 1, load=segment.ahead_bytes - left)
    steps = draft.rows()
    need = _most_held(steps) + resident
    if need > machine.sram_bytes:
        name = operators[segment.tasks[0].group.chief].name
        room = f"{need} bytes of its SRAM's {machine.sram_bytes}"
        raise UnsupportedError(f"{machine.p.name} cannot hold the tiles of operator {name}: {room}")
    issue = [machine.p.program.group] * len(segment.tasks)
    issue[0] += machine.p.program.region if segment.opens else 0
    return fused_program(steps, tuple(issue), resident), max(left, segment.ahead_bytes)


def _most_held(steps: Rows) -> int:
    """Return the most room that tiles take together: all up to a step, but for what steps before it have given back."""
    given_back = np.cumsum(steps[:, RELEASE]) - steps[:, RELEASE]
    return int((np.cumsum(steps[:, HOLD]) - given_back).max())


def _use_warm(draft: Draft, warm_bytes: int) -> int:
    """Take weights that are there out of the loads of the first tiles; return the bytes that are left."""
    for step in draft.steps:
        if step[FOLDS] and not step[IN_BLOCKS]:
            used = min(warm_bytes, step[LOAD], step[HOLD], step[RELEASE])
            for column in (LOAD, HOLD, RELEASE):
                step[column] -= used
            warm_bytes -= used
    return warm_bytes


def _carried(machine: AsicMachine, operators: Sequence[Operator]) -> int:
    """Return the room of the residual stream, which waits beside the other tensors."""
    norms = [operator for operator in operators if operator.kind == "norm" and operator.dims["writes_residual"]]
    streams = [next(iter(norm.inputs.values())) for norm in norms]
    return max((n for n in streams if not machine.spilled(n)), default=0)


def segment_key(machine: AsicMachine, segment: Segment) -> Hashable:
    """Return what tells programs apart on the die, however often they run."""
    how = (segment.opens, segment.is_wave, segment.carried_bytes, segment.warm_bytes, segment.ahead_bytes)
    return (operators_key(machine, segment.operators), segment.tasks, how)


def operators_key(machine: AsicMachine, operators: Sequence[Operator]) -> Hashable:
    """Return what tells operators that follow each other apart on the die."""
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
