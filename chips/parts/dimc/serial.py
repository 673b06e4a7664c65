"""Parts that serve vectors one after the other in every chiplet: links between chiplets, ports of slices, lanes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.dimc.line_log import LineLog
from dieshot.kernels import dimc
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port


@dataclass(frozen=True, slots=True)
class Request:
    """Vectors that come to a part: when (chiplets, items; cycles), and the amount of each, by chiplet."""

    arrivals: Rows
    amounts: Sequence[int]
    latency: int


class SerialPart(Component):
    """One line a chiplet; amount x scale / rate are the cycles of a vector. Answers with when each is through."""

    def __init__(self, env: simpy.Environment, name: str, scale: int, rate: int, log: LineLog) -> None:
        self.scale = scale
        self.rate = rate
        self.log = log
        self.requests = Port(env, 0)
        self.answers = Port(env, 0)
        self.state = np.zeros((len(log.components), dimc.N_SERVER), np.int64)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Serve batches in the order of the program."""
        while True:
            request = yield self.requests.receive()
            done = np.empty_like(request.arrivals)
            space = self.log.space(request.arrivals.size + len(done))
            n_rows = dimc.serve(
                self.scale,
                self.rate,
                request.latency,
                self.log.record,
                self.state,
                np.array(request.amounts, np.int64),
                request.arrivals,
                done,
                self.log.open,
                space,
            )
            self.log.keep(space[:n_rows])
            self.answers.send(done)

    def serve(self, arrivals: Rows, amounts: Sequence[int], latency: int) -> Generator[simpy.Event, Any, Rows]:
        """Send a batch and wait for the answer; nothing to do where all amounts are zero."""
        if not any(amounts):
            return arrivals
        self.requests.send(Request(arrivals, amounts, latency))
        done: Rows = yield self.answers.receive()
        return done
