"""The machine level: stages of like ranks step through their operators, meet at collectives, and hand tokens on.

All ranks of a stage do the same work from the same state, so one stands for them all; that is exact. A step whose
operators and starting state are those of an earlier step is that step again, and so is a layer within a step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import simpy

from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.chip import Chip, OperatorOutcome
from dieshot.simulator.engine.fabric import Fabric
from dieshot.simulator.engine.hooks import Hooks
from dieshot.simulator.engine.port import Port

ACTIVATION_BUFFERS = 2  # a stage writes one while the next reads the other
COLLECTIVES = frozenset({"all_reduce", "all_gather", "send_recv"})


class BlockLike(Protocol):
    """A block of a trace: operators that run one after the other, `repeat` times."""

    @property
    def name(self) -> str: ...
    @property
    def repeat(self) -> int: ...
    @property
    def operators(self) -> Sequence[Any]: ...


class StepLike(Protocol):
    """A forward pass of a trace."""

    @property
    def blocks(self) -> Sequence[BlockLike]: ...


@dataclass(frozen=True, slots=True)
class OperatorRun:
    """Instances of one operator that went alike: the first starts at `start_fs` of its step, the others `stride_fs`
    apart."""

    block: int
    operator: int
    first_instance: int
    repeat: int
    start_fs: int
    stride_fs: int
    cells: tuple[Cell, ...]

    @property
    def duration_fs(self) -> int:
        """Time of one instance."""
        return sum(cell.duration_fs for cell in self.cells)


@dataclass(frozen=True, slots=True)
class StepRun:
    """One stage's share of one step, times since its start; at its end the chip is drained (None: it was quiet)."""

    duration_fs: int
    runs: tuple[OperatorRun, ...]
    drain: Cell | None
    end_state: Hashable


@dataclass(frozen=True, slots=True)
class StepPlacement:
    """A step of a stage in the run, for one of the micro-batches."""

    step: int
    stage: int
    start_fs: int
    run: StepRun
    micro_batch: int = 0

    @property
    def end_fs(self) -> int:
        """When the stage was done with the step."""
        return self.start_fs + self.run.duration_fs


StepObserver = Callable[[StepPlacement], None]


@dataclass(slots=True)
class Machine:
    """Chips of one kind in stages of `group` ranks, joined by a fabric; `step_gap_fs` is the host's time between steps.

    micro_batches: equal parts of a batch, each of which goes through all stages for itself; a stage serves them in
    turn. stages_on_chip: consecutive stages that share a chip.
    """

    chip: Chip[Any]
    fabric: Fabric | None
    group: int
    step_gap_fs: int
    micro_batches: int = 1
    stages_on_chip: int = 1
    hooks: Hooks = field(default_factory=Hooks)
    _steps: dict[Hashable, StepRun] = field(default_factory=dict)

    def run(
        self,
        stages: Sequence[Sequence[StepLike]],
        step_done: Callable[[StepPlacement], None] | None = None,
        n_prefill_steps: int = 1,
    ) -> int:
        """Run all steps of all stages; `step_done` is told of each in the order of their ends. Returns the end (fs).

        The first `n_prefill_steps` read the prompt, which is all there: they follow each other through the stages.
        Every step after them waits for the token that the last stage makes of the one before.
        """
        if step_done is not None:
            self.hooks.add("step_done", step_done)
        env = simpy.Environment()
        n = len(stages)
        # What waits for the first stage are token numbers on the host, of which there is room for all.
        n_known = n_prefill_steps * self.micro_batches
        n_silent = [0] * (n - 1) + [n_known - self.micro_batches]  # of the last stage: no token yet
        ports = [Port(env, self.step_gap_fs, n_known + ACTIVATION_BUFFERS)]
        ports += [Port(env, 0, ACTIVATION_BUFFERS) for _ in range(n - 1)]
        processes = [
            env.process(self._stage(env, index, steps, ports[index], ports[(index + 1) % n], silent))
            for index, (steps, silent) in enumerate(zip(stages, n_silent, strict=True))
        ]
        for turn in range(n_known):
            ports[0].send(turn % self.micro_batches)
        for process in processes:
            env.run(until=process)
        return _now(env)

    def _stage(
        self,
        env: simpy.Environment,
        stage: int,
        steps: Sequence[StepLike],
        arrivals: Port,
        departures: Port,
        n_silent: int,
    ) -> Generator[simpy.Event, Any, None]:
        state = self.chip.initial_state
        stays = (stage + 1) % self.stages_on_chip != 0
        for index in range(len(steps) * self.micro_batches):
            micro_batch = yield arrivals.receive()
            start = _now(env)
            run = yield from self._step(env, steps[index // self.micro_batches], state, stays)
            state = run.end_state
            if "step_done" in self.hooks:
                placed = StepPlacement(index // self.micro_batches, stage, start, run, micro_batch)
                self.hooks.call("step_done", placed)
            if index < n_silent:
                continue
            waiting = departures.send(micro_batch)
            if waiting is not None:
                yield waiting

    def _step(
        self, env: simpy.Environment, step: StepLike, state: Hashable, stays: bool
    ) -> Generator[simpy.Event, Any, StepRun]:
        key = (tuple((id(block.operators), block.repeat) for block in step.blocks), state, stays)
        if key in self._steps:
            known = self._steps[key]
            yield env.timeout(known.duration_fs)
            return known
        start = _now(env)
        runs: list[OperatorRun] = []
        for index, block in enumerate(step.blocks):
            state = yield from self._block(env, index, block, state, stays, start, runs)
        drain, state = self.chip.drain(state)
        if drain is not None:
            yield env.timeout(drain.duration_fs)
        self._steps[key] = StepRun(_now(env) - start, tuple(runs), drain, state)
        return self._steps[key]

    def _block(
        self,
        env: simpy.Environment,
        index: int,
        block: BlockLike,
        state: Hashable,
        stays: bool,
        step_start: int,
        runs: list[OperatorRun],
    ) -> Generator[simpy.Event, Any, Hashable]:
        """Run a block's instances until the state at an instance's start recurs; what lies between then repeats
        exactly."""
        seen: dict[Hashable, int] = {}
        instances: list[list[OperatorRun]] = []
        instance = 0
        stretches = self._stretches(block.operators)
        while instance < block.repeat and state not in seen:
            seen[state] = instance
            begun: list[OperatorRun] = []
            for operators in stretches:
                outcomes = self._carry_out(operators, state, stays)
                state = outcomes[-1].state
                for operator, outcome in zip(operators, outcomes, strict=True):
                    start = _now(env) - step_start
                    yield env.timeout(outcome.duration_fs)
                    if "operator_done" in self.hooks:
                        self.hooks.call("operator_done", operator, step_start + start, outcome.cells)
                    begun.append(OperatorRun(index, len(begun), instance, 1, start, 0, outcome.cells))
            instances.append(begun)
            instance += 1
        runs.extend(run for begun in instances for run in begun)
        if instance < block.repeat:
            state = yield from self._repeat(
                env, block, instances[seen[state] :], instance, state, step_start, runs, seen
            )
        return state

    def _repeat(
        self,
        env: simpy.Environment,
        block: BlockLike,
        period: list[list[OperatorRun]],
        instance: int,
        state: Hashable,
        step_start: int,
        runs: list[OperatorRun],
        seen: dict[Hashable, int],
    ) -> Generator[simpy.Event, Any, Hashable]:
        left = block.repeat - instance
        begin = _now(env) - step_start
        period_fs = begin - period[0][0].start_fs
        shift = begin - period[0][0].start_fs
        for offset, begun in enumerate(period[:left]):
            repeat = (left - offset - 1) // len(period) + 1
            runs.extend(
                OperatorRun(
                    run.block, run.operator, instance + offset, repeat, run.start_fs + shift, period_fs, run.cells
                )
                for run in begun
            )
        whole, rest = divmod(left, len(period))
        rest_fs = period[rest][0].start_fs - period[0][0].start_fs
        yield env.timeout(whole * period_fs + rest_fs)
        first = seen[state]
        return next(known for known, number in seen.items() if number == first + rest)

    def _stretches(self, operators: Sequence[Any]) -> list[list[Any]]:
        """Return the operators in stretches that the chip carries out at once; collectives stand alone."""
        stretches: list[list[Any]] = []
        alone = True
        for operator in operators:
            collective = operator.kind in COLLECTIVES and not self.chip.collectives_inside
            if collective or alone:
                stretches.append([])
            stretches[-1].append(operator)
            alone = collective
        return stretches

    def _carry_out(self, operators: Sequence[Any], state: Hashable, stays: bool) -> Sequence[OperatorOutcome[Any]]:
        first = operators[0]
        if first.kind not in COLLECTIVES or self.chip.collectives_inside:
            return self.chip.carry_out_all(operators, state)
        if first.kind == "send_recv" and stays:
            return (self.chip.hand_over(first, state),)
        if self.fabric is None:
            raise ValueError(f"operator {first.name} needs a fabric and the system has none")
        cell = self.fabric.carry_out(first, first.dims.get("group", 1))
        cell, state = self.chip.alongside(cell, first, state)
        return (OperatorOutcome((cell,), state),)


def _now(env: simpy.Environment) -> int:
    """Return the time; all delays are whole femtoseconds, so SimPy keeps it whole."""
    return int(env.now)
