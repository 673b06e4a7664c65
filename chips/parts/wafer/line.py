"""A line of PEs that reduces, broadcasts, or both: routes by colour and the instructions of every core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels import wavelet_table as k
from dieshot.kernels.wavelet import run_line

Rows = NDArray[np.int64]
WEST, EAST = -1, 1
CHAIN, TWO_LEVEL, TREE = "chain", "two_level", "tree"
END, MIDDLE = "end", "middle"


@dataclass(frozen=True)
class LineParameters:
    """Cycles and queues of a line. queues (input, output): wavelets that a core's queues hold, by the number of users.

    task_cycles: to activate a task, which every instruction begins with; vector_cycles: to start a vector instruction;
    reduction, root: how sums are formed, and where they end.
    """

    ramp_cycles: int = 2
    router_wavelets: int = 2
    input_queue: int = 4
    output_queue: int = 2
    task_cycles: int = 0
    vector_cycles: int = 0
    reduction: str = TWO_LEVEL
    root: str = END

    @property
    def start_cycles(self) -> int:
        """From the end of one instruction to the first wavelet of the next."""
        return self.task_cycles + self.vector_cycles


@dataclass
class LineProgram:
    """Routes and instructions under construction; a core's instructions are carried out in the order added."""

    n_pes: int
    start_cycles: int
    routes: dict[tuple[int, int, int], int] = field(default_factory=dict)
    instructions: list[list[tuple[int, int, int, int, int]]] = field(default_factory=list)
    n_colours: int = 0

    def __post_init__(self) -> None:
        self.instructions = [[] for _ in range(self.n_pes)]

    def colour(self) -> int:
        """Return a colour that nothing uses yet; ValueError beyond k.MOST_COLOURS."""
        if self.n_colours == k.MOST_COLOURS:
            raise ValueError(f"a line has at most {k.MOST_COLOURS} colours")
        self.n_colours += 1
        return self.n_colours - 1

    def add(self, pe: int, taking: int, sending: int, wavelets: int, pace: int = 1) -> None:
        """Let a core take and send wavelets of colours (k.NONE for neither)."""
        self.instructions[pe].append((taking, sending, wavelets, self.start_cycles, pace))

    def way(self, colour: int, source: int, target: int, multicast: bool = False) -> None:
        """Lead a colour from a core to another one, with `multicast` to all between, too."""
        step = EAST if target > source else WEST
        out, side = (k.TO_EAST, k.FROM_WEST) if step == EAST else (k.TO_WEST, k.FROM_EAST)
        self._open(colour, source, k.FROM_CORE, out)
        for pe in range(source + step, target, step):
            self._open(colour, pe, side, out | (k.TO_CORE if multicast else 0))
        self._open(colour, target, side, k.TO_CORE)

    def _open(self, colour: int, pe: int, side: int, outs: int) -> None:
        if any((colour, pe, other) in self.routes for other in range(k.N_SIDES) if other != side):
            raise ValueError(f"colour {colour} comes to the router of PE {pe} from two sides")
        key = (colour, pe, side)
        self.routes[key] = self.routes.get(key, 0) | outs


def all_reduce(
    program: LineProgram, first: int, stop: int, wavelets: int, how: LineParameters, colours: Sequence[int]
) -> None:
    """Add the instructions for all PEs first .. stop - 1 to end with the sum of their wavelets."""
    root = reduce(program, first, stop, wavelets, how, colours[:-1])
    broadcast(program, first, stop, root, wavelets, colours[-1])


def n_reduce_colours(n_pes: int, how: LineParameters) -> int:
    """Return how many colours a reduction of a line takes."""
    sides = 2 if how.root == MIDDLE else 1
    if how.reduction == TREE:
        return sides * max(1, (n_pes - 1).bit_length())
    return sides * (2 if how.reduction == CHAIN else 4)


def broadcast(program: LineProgram, first: int, stop: int, root: int, wavelets: int, colour: int) -> None:
    """Send wavelets of one core to all others of a stretch: routers copy them on the way."""
    if stop - first < 2:
        return
    program.add(root, k.NONE, colour, wavelets)
    for end in {first, stop - 1} - {root}:
        program.way(colour, root, end, multicast=True)
    for pe in range(first, stop):
        if pe != root:
            program.add(pe, colour, k.NONE, wavelets)


def reduce(
    program: LineProgram, first: int, stop: int, wavelets: int, how: LineParameters, colours: Sequence[int]
) -> int:
    """Add up the wavelets of a stretch of PEs; return the root, which has the sum."""
    root = first if how.root == END else (first + stop - 1) // 2
    sides = [(EAST, stop - 1 - root), (WEST, root - first)]
    per_side = len(colours) // (2 if how.root == MIDDLE else 1)
    received: list[list[tuple[int, int]]] = []
    for i, (step, length) in enumerate(sides):
        if length > 0:
            own = colours[:per_side] if i == 0 else colours[per_side:]
            build = _tree if how.reduction == TREE else _grouped
            received.append(build(program, root, step, length, wavelets, how, own))
    for phase in sorted({phase for each in received for phase, _ in each}):
        for each in received:
            for at, colour in each:
                if at == phase:
                    program.add(root, colour, k.NONE, wavelets)
    return root


def group_size(length: int, how: LineParameters) -> int:
    """Return how many PEs of a line a group of the first level has."""
    if how.reduction == CHAIN:
        return length + 1
    return max(2, isqrt(max(0, length)) + 1)


def _grouped(
    program: LineProgram, root: int, step: int, length: int, wavelets: int, how: LineParameters, colours: Sequence[int]
) -> list[tuple[int, int]]:
    """Chains within groups toward their heads, then a chain of the heads; return (phase, colour) for the root to take.

    Neighbours in a chain send in two colours by turns, as a colour has one way through a router.
    """
    size = group_size(length, how)
    taken: list[tuple[int, int]] = []
    for at in range(length, 0, -1):
        pe = root + step * at
        fed = at < length and (at + 1) % size != 0
        taking = colours[(at + 1) % 2] if fed else k.NONE
        if at % size:
            program.add(pe, taking, colours[at % 2], wavelets)
            program.way(colours[at % 2], pe, pe - step)
            continue
        if fed:
            program.add(pe, taking, k.NONE, wavelets)
        head = at // size
        further = colours[2 + (head + 1) % 2] if at + size <= length else k.NONE
        program.add(pe, further, colours[2 + head % 2], wavelets)
        program.way(colours[2 + head % 2], pe, pe - step * size)
    if size > 1:
        taken.append((0, colours[1]))
    if size <= length:
        taken.append((1, colours[3]))
    return taken


def _tree(
    program: LineProgram, root: int, step: int, length: int, wavelets: int, how: LineParameters, colours: Sequence[int]
) -> list[tuple[int, int]]:
    """Halving: in round r every second of the remaining PEs sends to the one before it, 2**r away, in colour r."""
    taken: list[tuple[int, int]] = []
    for at in range(length, -1, -1):
        pe = root + step * at
        rounds = [r for r in range(length.bit_length()) if at % (1 << (r + 1)) == 0 and at + (1 << r) <= length]
        if at == 0:
            taken = [(r, colours[r]) for r in rounds]
            continue
        sent = (at & -at).bit_length() - 1
        for r in rounds[:-1]:
            program.add(pe, colours[r], k.NONE, wavelets)
        program.add(pe, colours[rounds[-1]] if rounds else k.NONE, colours[sent], wavelets)
        program.way(colours[sent], pe, pe - step * (1 << sent))
    return taken


@dataclass(frozen=True)
class LineOutcome:
    """What a line came to: times (PEs, instructions, k.N_TIMES), cycle in which each PE is done, what moved."""

    times: Rows
    finish: Rows
    hops: int
    ramp_wavelets: int


STATUS = {k.STUCK: "wavelets wait for each other", k.NO_ROUTE: "no route", k.TOO_LONG: "no end in sight"}
LIMIT_CYCLES = 1 << 40


def run(program: LineProgram, how: LineParameters, ready: Rows) -> LineOutcome:
    """Run a program on a line whose PEs are ready at these cycles; RuntimeError if it cannot come to an end."""
    n, n_colours = program.n_pes, max(1, program.n_colours)
    longest = max(1, *map(len, program.instructions)) if n > 1 else max(1, len(program.instructions[0]))
    nothing = (k.NONE, k.NONE, 0, 0, 1)
    rows = [row for each in program.instructions for row in [*each, *[nothing] * (longest - len(each))]]
    routes = np.zeros(n_colours * n * k.N_SIDES, np.int64)
    for (colour, pe, side), outs in program.routes.items():
        routes[(colour * n + pe) * k.N_SIDES + side] = outs
    depths = np.tile(np.array([how.input_queue, how.output_queue], np.int64), (n_colours, 1))
    most = max(how.input_queue, how.output_queue) + how.ramp_cycles + 1
    times, counts = np.zeros((n * longest, k.N_TIMES), np.int64), np.zeros(k.N_COUNTS, np.int64)
    status = run_line(
        np.array([how.ramp_cycles, how.router_wavelets, int(ready.max()) + LIMIT_CYCLES], np.int64),
        depths,
        routes,
        np.array(rows, np.int64),
        np.ascontiguousarray(ready, np.int64),
        np.zeros((n_colours * n * 2, 2), np.int64),
        np.zeros((n_colours * n, k.Q_FIRST + most), np.int64),
        np.zeros((n_colours * n, k.Q_FIRST + most), np.int64),
        np.zeros((n, k.N_CORE), np.int64),
        np.zeros(n * k.N_SIDES, np.int64),
        np.zeros(n, np.int64),
        np.zeros(1 + 9 * n, np.int64),
        times,
        counts,
    )
    if status != k.DONE:
        raise RuntimeError(f"line of {n} PEs: {STATUS[status]} (cycle {counts[k.N_CYCLES]})")
    by_pe = times.reshape(n, longest, k.N_TIMES)
    ramps = int(counts[k.N_UP] + counts[k.N_DOWN])
    return LineOutcome(by_pe, by_pe[:, -1, k.T_END].copy(), int(counts[k.N_HOPS]), ramps)
