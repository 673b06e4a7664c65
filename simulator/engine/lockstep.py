"""Parts that feed back on each other: SimPy processes that advance together, stretch after stretch of short windows.

A window is no longer than the shortest way from one part to another, so within it none can hear what another does. One
jitted call carries all parts over a stretch of windows; the processes meet before it and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from dieshot.simulator.engine.component import Component


class Lockstep:
    """Where parts meet; `advance` carries all that have joined over the next stretch and returns its duration (fs)."""

    def __init__(self, env: simpy.Environment, advance: Callable[[], int]) -> None:
        self._env = env
        self._advance = advance
        self._n_parts = 0
        self._n_waiting = 0
        self._next = env.event()

    def join(self) -> None:
        """Count one more part, for which every stretch waits."""
        self._n_parts += 1

    def leave(self) -> None:
        """Count one part less."""
        self._n_parts -= 1
        self._go_if_all_wait()

    def stretch(self) -> simpy.Event:
        """Return the end of the next stretch, which begins once all parts have asked for it."""
        self._n_waiting += 1
        event = self._next
        self._go_if_all_wait()
        return event

    def _go_if_all_wait(self) -> None:
        if 0 < self._n_parts == self._n_waiting:
            self._n_waiting = 0
            event, self._next = self._next, self._env.event()
            self._env.timeout(self._advance()).callbacks.append(event.trigger)


class PartInLockstep(Component):
    """A part that takes every stretch with the others until it `is_over`, and settles what is its own after each."""

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        lockstep: Lockstep,
        settle: Callable[[], None],
        is_over: Callable[[], bool],
    ) -> None:
        self.lockstep = lockstep
        self.settle = settle
        self.is_over = is_over
        lockstep.join()
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Advance with the others until there is nothing more to do."""
        while not self.is_over():
            yield self.lockstep.stretch()
            self.settle()
        self.lockstep.leave()
