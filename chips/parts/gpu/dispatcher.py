"""The CTA dispatcher: hands the next CTA to a slot that has become free."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import Rows
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port


class Dispatcher(Component):
    """Assigns CTAs in their order, first come first served; an assignment takes `latency_fs` to reach the SM."""

    def __init__(
        self, env: simpy.Environment, n_ctas: int, first: int, latency_fs: int, finished: Port, assignments: Port
    ) -> None:
        self.n_ctas = n_ctas
        self.next_cta = first
        self.latency_fs = latency_fs
        self.finished = finished
        self.assignments = assignments
        self.announced = np.empty((0, 2), np.int64)
        super().__init__(env, "dispatcher")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Once a window: answer the slots that finished (n, 2: time, slot) with assignments (n, 3: time, slot, CTA)."""
        while True:
            finished, until_fs = yield self.finished.receive()
            self.assignments.send(self.assign(self._due(finished, until_fs)))

    def _due(self, finished: Rows, until_fs: int) -> Rows:
        """Return the slots that finish before `until_fs`; an epilogue announces its end before it is over."""
        if len(finished) == 0 and len(self.announced) == 0:
            return finished
        finished = np.concatenate((self.announced, finished))
        due = finished[:, 0] < until_fs
        self.announced = finished[~due]
        return finished[due]

    def assign(self, finished: Rows) -> Rows:
        """Return the assignments for slots that finished, in the order of time, then of slot."""
        n = min(len(finished), self.n_ctas - self.next_cta)
        if n == 0:
            return np.empty((0, 3), np.int64)
        order = np.lexsort((finished[:, 1], finished[:, 0]))[:n]
        out = np.empty((n, 3), np.int64)
        out[:, :2] = finished[order]
        out[:, 0] += self.latency_fs
        out[:, 2] = np.arange(self.next_cta, self.next_cta + n)
        self.next_cta += n
        return out
