"""The tuned library: of the kernels that could carry out an operator it takes those that are fastest when simulated."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import partial

import numpy as np

from dieshot.chips.mapping.gpu.ahead import RegionStart
from dieshot.chips.mapping.gpu.lower import Choice, kernel_choices, region_key
from dieshot.chips.mapping.gpu.machine import GpuMachine
from dieshot.chips.mapping.gpu.race import fastest
from dieshot.chips.parts.gpu.die import run_kernel
from dieshot.chips.parts.gpu.tile_kernel import DieTiming
from dieshot.simulator.engine.decisions import Decisions
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.simulator.engine.worker import map_in_workers
from dieshot.traces.operator import Operator


class Library:
    """Chooses kernels, and remembers what it chose by all that decides the choice, also for the processes to come."""

    def __init__(self, timing: DieTiming, machine: GpuMachine) -> None:
        self.timing = timing
        self.machine = machine
        self._chosen: dict[Hashable, Choice] = {}
        self._decisions = Decisions((timing, machine))

    def choose(self, operator: Operator, resident_bytes: int) -> Choice:
        """Return the alternative that is fastest when simulated from a quiet chip; the first of equals."""
        key = region_key(operator, resident_bytes)
        if key not in self._chosen:
            choices = kernel_choices(self.machine, operator, resident_bytes)
            if not self._remembered(key, choices):
                self._keep(key, choices, fastest(self.timing, choices))
        return self._chosen[key]

    def choose_ahead(self, starts: Iterable[RegionStart], processes: int) -> None:
        """Choose for all operators and their resident bytes in `processes` workers; WorkerLostError if one dies.

        The choice is the same as by `choose`, whichever process makes it.
        """
        alternatives: dict[Hashable, Sequence[Choice]] = {}
        for operator, resident_bytes in starts:
            key = region_key(operator, resident_bytes)
            if operator.kind not in COLLECTIVES and key not in self._chosen and key not in alternatives:
                found = kernel_choices(self.machine, operator, resident_bytes)
                if not self._remembered(key, found):
                    alternatives[key] = found
        tasks = [choice for choices in alternatives.values() for choice in choices]
        times_fs = iter(map_in_workers(partial(duration_fs, self.timing), tasks, processes))
        for key, choices in alternatives.items():
            taken_fs = [next(times_fs) for _ in choices]
            self._keep(key, choices, taken_fs.index(min(taken_fs)))

    def _remembered(self, key: Hashable, choices: Sequence[Choice]) -> bool:
        """Whether there is nothing to choose, or the choice is known."""
        choice = 0 if len(choices) == 1 else self._decisions.get(key, len(choices))
        if choice is not None:
            self._chosen[key] = choices[choice]
        return choice is not None

    def _keep(self, key: Hashable, choices: Sequence[Choice], choice: int) -> None:
        self._chosen[key] = choices[choice]
        self._decisions.put(key, choice)


def duration_fs(timing: DieTiming, choice: Choice) -> int:
    """Return the simulated time of kernels one after the other, on a chip that is quiet before."""
    backlog = np.zeros((timing.hbm.n_pins, 2), np.int64)
    total = 0
    for kernel in choice:
        outcome = run_kernel(timing, kernel, backlog, record=False)
        backlog = outcome.backlog
        total += outcome.duration_fs
    return total
