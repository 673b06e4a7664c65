"""A race of kernels: the fastest when simulated; the others only as far as it takes to see that they lose."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from dieshot.chips.mapping.gpu.lower import Choice
from dieshot.chips.parts.gpu.die import Die
from dieshot.chips.parts.gpu.tile_kernel import DieTiming

WINDOWS_A_LEAP = 16


def fastest(timing: DieTiming, choices: Sequence[Choice]) -> int:
    """Return the alternative that takes the least simulated time on a chip that is quiet before; the first of equals.

    The one that could still be the fastest always goes on next, until none could be faster than one that has arrived.
    """
    racers = [_bounds(timing, choice) for choice in choices]
    field = [(next(racer), index) for index, racer in enumerate(racers)]
    heapq.heapify(field)
    while True:
        bound_fs, leader = field[0]
        further_fs = next(racers[leader], None)
        if further_fs is None:
            return leader
        heapq.heapreplace(field, (max(bound_fs, further_fs), leader))


def _bounds(timing: DieTiming, choice: Choice) -> Iterator[int]:
    """Advance kernels one after the other; yield after each leap the least that all take, at last what they do."""
    backlog = np.zeros((timing.hbm.n_pins, 2), np.int64)
    before_fs = 0
    later_fs = len(choice) * (timing.launch_fs + timing.drain_fs)
    yield later_fs
    for kernel in choice:
        later_fs -= timing.launch_fs + timing.drain_fs
        running = Die(timing, kernel, backlog, record=False)
        while not running.is_done:
            running.advance(WINDOWS_A_LEAP)
            yield before_fs + running.least_duration_fs() + later_fs
        outcome = running.outcome()
        backlog = outcome.backlog
        before_fs += outcome.duration_fs
