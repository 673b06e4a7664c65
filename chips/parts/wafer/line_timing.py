"""Routers and ramps of a region's lines as a SimPy part: takes a collective, times one line for all that act alike."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.mapping.wafer.phase import AllReduce, Multicast, Neighbour
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.chips.parts.wafer.line import (
    LineOutcome,
    LineParameters,
    LineProgram,
    all_reduce,
    broadcast,
    n_reduce_colours,
    run,
)
from dieshot.kernels import wavelet_table as k
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]
Collective = AllReduce | Multicast | Neighbour
Memo = dict[Hashable, LineOutcome]


@dataclass(frozen=True)
class Request:
    """A collective and the cycle in which each PE of a line is ready for it."""

    collective: Collective
    ready: Rows


class Lines(Component):
    """All lines of one axis of a region. They act alike but for a delay each, so that one stands for all.

    memo: outcomes of equal requests.
    """

    def __init__(
        self, env: simpy.Environment, name: str, length: int, how: LineParameters, period_fs: int, memo: Memo
    ) -> None:
        self.length = length
        self.how = how
        self.period_fs = period_fs
        self.memo = memo
        self.requests = Port(env, 0)
        self.outcomes = Port(env, 0)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Time collectives in their turn; answer when the first PE is done."""
        while True:
            request: Request = yield self.requests.receive()
            outcome = self.time(request)
            first = int(outcome.finish.min()) * self.period_fs
            yield self.env.timeout(max(0, first - int(self.env.now)))
            self.outcomes.send(outcome)

    def time(self, request: Request) -> LineOutcome:
        """Return the outcome, with times as those of the request. Only delays between PEs matter: kept by these."""
        base = int(request.ready.min())
        relative = request.ready - base
        key = (request.collective, self.length, self.how, relative.tobytes())
        if key not in self.memo:
            self.memo[key] = run(program_of(request.collective, self.length, self.how), self.how, relative)
        known = self.memo[key]
        times = known.times.copy()
        times[:, :, : k.T_END + 1] += base
        return LineOutcome(times, known.finish + base, known.hops, known.ramp_wavelets)


def program_of(collective: Collective, length: int, how: LineParameters) -> LineProgram:
    """Return the routes and instructions of a collective on a line."""
    program = LineProgram(length, how.start_cycles)
    if isinstance(collective, Multicast):
        broadcast(program, 0, length, 0, collective.wavelets, program.colour())
    elif isinstance(collective, Neighbour):
        _to_neighbour(program, collective.wavelets)
    else:
        colours = [program.colour() for _ in range(n_reduce_colours(_stretch(collective, length), how) + 1)]
        for i in range(collective.stretches):
            first, stop = (length * each // collective.stretches for each in (i, i + 1))
            all_reduce(program, first, stop, collective.wavelets, how, colours)
    return program


def _stretch(collective: AllReduce, length: int) -> int:
    return -(-length // collective.stretches)


def _to_neighbour(program: LineProgram, wavelets: int) -> None:
    colours = [program.colour() for _ in range(2)]
    for pe in range(program.n_pes):
        if pe > 0:
            program.add(pe, k.NONE, colours[pe % 2], wavelets)
            program.way(colours[pe % 2], pe, pe - 1)
        if pe < program.n_pes - 1:
            program.add(pe, colours[(pe + 1) % 2], k.NONE, wavelets)


def n_colours(how: LineParameters, rows: int, columns: int) -> int:
    """Return the most colours that a program needs: that of vectors, or that of prompts.

    Vectors: sums and broadcast along both axes, sums on stretches of a row, steps to the neighbour. Prompts: sums along
    rows and on stretches of them, a ring along each axis, which has two colours each way. Both: two between regions.
    """
    along_rows = 2 * (n_reduce_colours(columns, how) + 1)
    vectors = n_reduce_colours(rows, how) + 1 + along_rows + 2
    prompts = along_rows + 2 * 2 * 2
    return 2 + max(vectors, prompts)


def line_parameters(p: WaferParameters) -> LineParameters:
    """Return the parameters of a line of PEs."""
    return LineParameters(
        p.router.ramp_latency,
        p.router.buffer,
        p.router.input_queue,
        p.router.output_queue,
        p.software.task_activation,
        p.software.vector_start,
        p.software.reduction,
        p.software.root,
    )
