"""The machine level against a loop that repeats nothing: every shortcut must be exact."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import Chip, OperatorOutcome
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.engine.machine import Machine, StepPlacement


@dataclass(frozen=True)
class Operator:
    """Adds `weight` to the state."""

    name: str
    kind: str
    weight: int
    dims: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Block:
    name: str
    repeat: int
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Step:
    blocks: tuple[Block, ...]


class CountingChip(Chip):
    """A chip whose state is a number below `modulus` (0: without bound), so that states recur at a known period."""

    def __init__(self, modulus: int, quiet: bool) -> None:
        self.modulus = modulus
        self.quiet = quiet
        self.n_simulated = 0

    def components(self) -> Sequence[ComponentSpec]:
        return []

    @property
    def memory_bytes(self) -> int:
        return 0

    @property
    def initial_state(self) -> Hashable:
        return 0

    def carry_out(self, operator: Any, state: Any, record: bool = True) -> OperatorOutcome:
        self.n_simulated += 1
        after = state + operator.weight
        cells = tuple(cell(f"{operator.name}@{state}", 100 + 7 * state + part) for part in range(1 + state % 2))
        return OperatorOutcome(cells, after % self.modulus if self.modulus else after)

    def drain(self, state: Any) -> tuple[Cell | None, Any]:
        if self.quiet or state == 0:
            return None, state
        return cell(f"drain@{state}", 3 * state), state // 2

    def alongside(self, collective: Cell, operator: Any, state: Any) -> tuple[Cell, Any]:
        return cell(f"{collective.name}@{state}", collective.duration_fs), state // 3

    @property
    def local_costs(self) -> LocalCosts:
        return LocalCosts(1, 0, 0, 0)

    def peaks(self) -> Mapping[str, float]:
        return {}


class FixedFabric(Fabric):
    """Collectives that take as long as the group is large."""

    def components(self) -> Sequence[ComponentSpec]:
        return []

    def carry_out(self, operator: Any, group: int, record: bool = True) -> Cell:
        return cell(operator.name, 1000 * group)


def cell(name: str, duration_fs: int) -> Cell:
    return Cell(name, name, "any", duration_fs, Activity.empty(), {})


Instance = tuple[int, int, int, str]  # block, operator, start since the step began, cells


def unfolded(placed: StepPlacement) -> list[Instance]:
    """Return every instance of every operator of a step, by start."""
    out = []
    for run in placed.run.runs:
        names = " ".join(each.name for each in run.cells)
        starts = [run.start_fs + i * run.stride_fs for i in range(run.repeat)]
        out += [(run.block, run.operator, start, names) for start in starts]
    return sorted(out, key=lambda row: (row[2], row[0], row[1]))


def plainly(chip: CountingChip, step: Step, state: Any) -> tuple[list[Instance], str, int, Any]:
    """Return instances, drain, duration and end state of a step in which every instance is simulated."""
    out, now = [], 0
    for block_index, block in enumerate(step.blocks):
        for _ in range(block.repeat):
            for index, operator in enumerate(block.operators):
                if operator.kind == "all_reduce":
                    one, state = chip.alongside(
                        FixedFabric().carry_out(operator, operator.dims["group"]), operator, state
                    )
                    cells: tuple[Cell, ...] = (one,)
                else:
                    outcome = chip.carry_out(operator, state)
                    cells, state = outcome.cells, outcome.state
                out.append((block_index, index, now, " ".join(each.name for each in cells)))
                now += sum(each.duration_fs for each in cells)
    drain, state = chip.drain(state)
    return out, drain.name if drain else "", now + (drain.duration_fs if drain else 0), state


OPERATORS = st.one_of(
    st.builds(Operator, st.sampled_from("ab"), st.just("gemm"), st.integers(0, 3)),
    st.builds(Operator, st.just("r"), st.just("all_reduce"), st.just(0), st.just({"group": 2})),
)
BLOCKS = st.builds(Block, st.just("b"), st.integers(1, 9), st.lists(OPERATORS, min_size=1, max_size=3).map(tuple))
STEPS = st.builds(Step, st.lists(BLOCKS, min_size=1, max_size=2).map(tuple))


@settings(max_examples=200)
@given(st.lists(STEPS, min_size=1, max_size=2), st.integers(1, 4), st.integers(0, 6), st.booleans())
def test_repeats_are_exact(kinds: list[Step], times: int, modulus: int, quiet: bool) -> None:
    steps = [step for _ in range(times) for step in kinds]
    placed: list[StepPlacement] = []
    end = Machine(CountingChip(modulus, quiet), FixedFabric(), 2, 50).run([steps], placed.append)
    state, now = 0, 0
    for index, (step, one) in enumerate(zip(steps, placed, strict=True)):
        instances, drain, duration, state = plainly(CountingChip(modulus, quiet), step, state)
        now += 50
        assert (one.step, one.stage, one.start_fs) == (index, 0, now)
        assert unfolded(one) == instances
        assert (one.run.drain.name if one.run.drain else "") == drain
        assert (one.run.duration_fs, one.run.end_state) == (duration, state)
        now += duration
    assert end == now


@pytest.mark.parametrize(("modulus", "n_simulated"), [(1, 1), (2, 2), (3, 3), (0, 10)])
def test_a_layer_is_simulated_once_a_state(modulus: int, n_simulated: int) -> None:
    chip = CountingChip(modulus, quiet=True)
    step = Step((Block("layer", 10, (Operator("a", "gemm", 1),)),))
    placed: list[StepPlacement] = []
    Machine(chip, None, 1, 0).run([[step]], placed.append)
    assert chip.n_simulated == n_simulated
    assert sum(run.repeat for run in placed[0].run.runs) == 10


def test_a_step_in_a_known_state_is_not_simulated_again() -> None:
    chip = CountingChip(1, quiet=True)
    step = Step((Block("layer", 3, (Operator("a", "gemm", 1), Operator("b", "gemm", 1))),))
    placed: list[StepPlacement] = []
    Machine(chip, None, 1, 5).run([[step] * 100], placed.append)
    assert chip.n_simulated == 2
    assert [one.start_fs for one in placed] == [5 + 605 * i for i in range(100)]


@given(st.lists(STEPS, min_size=1, max_size=3), st.integers(2, 4), st.integers(1, 4))
def test_stages_hand_each_step_on(kinds: list[Step], n_stages: int, modulus: int) -> None:
    """A step starts on a stage when the stage before is done; the next step when the last stage is and the host too."""
    placed: list[StepPlacement] = []
    machine = Machine(CountingChip(modulus, quiet=False), FixedFabric(), 1, 70)
    end = machine.run([kinds] * n_stages, placed.append)
    now = 0
    assert [(one.step, one.stage) for one in placed] == [(i, j) for i in range(len(kinds)) for j in range(n_stages)]
    for one in placed:
        now += 70 if one.stage == 0 else 0
        assert one.start_fs == now
        now += one.run.duration_fs
    assert end == now


@given(
    st.lists(STEPS, min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_micro_batches_follow_each_other(
    kinds: list[Step], n_stages: int, micro_batches: int, modulus: int, n_prefill: int
) -> None:
    """A stage takes a micro-batch when it is free and the stage before has it done, and the first stage when the host
    has its last token, or at once while the prompt is read."""
    n_prefill = min(n_prefill, len(kinds))
    placed: list[StepPlacement] = []
    machine = Machine(CountingChip(modulus, quiet=False), FixedFabric(), 1, 70, micro_batches)
    end = machine.run([kinds] * n_stages, placed.append, n_prefill)
    ready = [70] * micro_batches
    free = [0] * n_stages
    starts: list[list[int]] = [[] for _ in range(n_stages)]
    expected = []
    durations = {(one.step, one.stage, one.micro_batch): one.run.duration_fs for one in placed}
    for step, part in product(range(len(kinds)), range(micro_batches)):
        for stage in range(n_stages):
            start = max(ready[part], free[stage])
            expected.append((step, stage, part, start))
            starts[stage].append(start)
            ready[part] = start + durations[step, stage, part]
        for stage in range(n_stages):
            # What a stage has made goes into one of two buffers, so the one before the last must have been taken.
            taken = starts[stage + 1][-3] if stage + 1 < n_stages and len(starts[stage]) > 2 else 0
            free[stage] = max(expected[stage - n_stages][3] + durations[step, stage, part], taken)
        ready[part] = ready[part] + 70 if step >= n_prefill - 1 else 70
    assert sorted((one.step, one.stage, one.micro_batch, one.start_fs) for one in placed) == sorted(expected)
    assert end == max(start + durations[step, stage, part] for step, stage, part, start in expected)


class FusingChip(CountingChip):
    """Takes a stretch as one region and says how long each stretch was."""

    stretches: ClassVar[list[list[str]]] = []

    def carry_out_all(self, operators: Sequence[Any], state: Any, record: bool = True) -> tuple[OperatorOutcome, ...]:
        self.stretches.append([operator.name for operator in operators])
        silent = [OperatorOutcome((), state) for _ in operators[1:]]
        return (*silent, OperatorOutcome((cell("all", 10 * len(operators)),), state))

    def hand_over(self, operator: Any, state: Any) -> OperatorOutcome:
        return OperatorOutcome((cell("walk", 3),), state)


class ProgramChip(FusingChip):
    """Carries out its collectives itself."""

    collectives_inside = True


def test_stretches_end_at_collectives_unless_the_chip_has_them_inside() -> None:
    gemm, reduce = Operator("a", "gemm", 0), Operator("r", "all_reduce", 0, {"group": 2})
    step = Step((Block("layer", 3, (gemm, gemm, reduce, gemm)),))
    for chip, expected in ((FusingChip, [["a", "a"], ["a"]]), (ProgramChip, [["a", "a", "r", "a"]])):
        chip.stretches.clear()
        placed: list[StepPlacement] = []
        Machine(chip(0, True), FixedFabric(), 2, 0).run([[step]], placed.append)
        assert chip.stretches == expected
        assert placed[0].run.duration_fs == 3 * (40 if chip is ProgramChip else 2030)
        assert [run.duration_fs for run in placed[0].run.runs][:4] == (
            [0, 0, 0, 40] if chip is ProgramChip else [0, 20, 2000, 10]
        )


def test_a_stage_on_the_same_chip_is_handed_over_without_the_fabric() -> None:
    step = Step((Block("send", 1, (Operator("s", "send_recv", 0),)),))
    placed: list[StepPlacement] = []
    Machine(FusingChip(0, True), FixedFabric(), 1, 0, stages_on_chip=2).run([[step]] * 4, placed.append)
    assert [one.run.duration_fs for one in placed] == [3, 1000, 3, 1000]


def test_a_collective_without_a_fabric_is_refused() -> None:
    step = Step((Block("layer", 1, (Operator("r", "all_reduce", 0, {"group": 2}),)),))
    with pytest.raises(ValueError, match="operator r needs a fabric and the system has none"):
        Machine(CountingChip(1, True), None, 1, 0).run([[step]], lambda placed: None)
