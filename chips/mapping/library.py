"""The tuned library: of the kernels that could carry out an operator it takes those that are fastest when simulated."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import partial

import numpy as np

from dieshot.chips.mapping.ahead import RegionStart
from dieshot.chips.mapping.lower import COLLECTIVES, Choice, kernel_choices, region_key
from dieshot.chips.mapping.machine import GpuMachine
from dieshot.chips.parts.die import run_kernel
from dieshot.chips.parts.tile_kernel import DieTiming
from dieshot.simulator.engine.worker import map_in_workers
from dieshot.traces.operator import Operator


class Library:
    """Chooses kernels, and remembers what it chose by all that decides the choice."""

    def __init__(self, timing: DieTiming, machine: GpuMachine) -> None:
        self.timing = timing
        self.machine = machine
        self._chosen: dict[Hashable, Choice] = {}

    def choose(self, operator: Operator, resident_bytes: int) -> Choice:
        """Return the alternative that is fastest when simulated from a quiet chip."""
        key = region_key(operator, resident_bytes)
        if key not in self._chosen:
            choices = kernel_choices(self.machine, operator, resident_bytes)
            self._chosen[key] = choices[fastest(self.timing, choices)]
        return self._chosen[key]

    def choose_ahead(self, starts: Iterable[RegionStart], processes: int) -> None:
        """Choose for all operators and their resident bytes in `processes` workers; WorkerLostError if one dies.

        The choice is the same as by `choose`, whichever process makes it.
        """
        open_choices: dict[Hashable, Sequence[Choice]] = {}
        for operator, resident_bytes in starts:
            key = region_key(operator, resident_bytes)
            if operator.kind not in COLLECTIVES and key not in self._chosen and key not in open_choices:
                open_choices[key] = kernel_choices(self.machine, operator, resident_bytes)
        alternatives = {key: choices for key, choices in open_choices.items() if len(choices) > 1}
        if len(alternatives) > 1:
            best = map_in_workers(partial(fastest, self.timing), list(alternatives.values()), processes)
            for (key, choices), index in zip(alternatives.items(), best, strict=True):
                self._chosen[key] = choices[index]


def fastest(timing: DieTiming, choices: Sequence[Choice]) -> int:
    """Return the index of the choice that takes the least simulated time; the first of equals."""
    if len(choices) == 1:
        return 0
    times = [_duration_fs(timing, choice) for choice in choices]
    return times.index(min(times))


def _duration_fs(timing: DieTiming, choice: Choice) -> int:
    backlog = np.zeros((timing.n_channels, 2), np.int64)
    total = 0
    for kernel in choice:
        outcome = run_kernel(timing, kernel, backlog, record=False)
        backlog = outcome.backlog
        total += outcome.duration_fs
    return total
