"""A socket as its compiler sees it: tiles, rates and routes in closed form; plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from dieshot.chips.mapping.dataflow.stage import Work
from dieshot.chips.parameters.reconfigurable_dataflow import ReconfigurableDataflowParameters
from dieshot.simulator.engine.clock import Clock
from dieshot.traces.dtype import bytes_of


@dataclass(frozen=True)
class DataflowMachine:
    """Parameters, and what follows from them. A strip is a column of the mesh: rows of pairs of a PCU and a PMU."""

    p: ReconfigurableDataflowParameters

    @cached_property
    def clock(self) -> Clock:
        """The clock of tiles and network."""
        return Clock.from_hz(self.p.clock)

    @property
    def strip(self) -> int:
        """Pairs of tiles in a strip."""
        return self.p.mesh.rows

    def work_cycles(self, work: Work, n_strips: int) -> int:
        """Return the cycles of a token tile on some strips: matrix products, then the SIMD pipelines' part, or what the
        mesh takes to bring its input, whichever is longer.

        PCUs of a stage are divided between both in proportion to their work, so that times add up.
        """
        return max(self.mac_cycles(work, n_strips) + self.simd_cycles(work, n_strips), self.input_cycles(work))

    def input_cycles(self, work: Work) -> int:
        """Return the cycles of a token tile's input on the mesh: every row's link carries its share past all strips."""
        return -(-work.read // (self.strip * self.p.mesh.width))

    def mac_cycles(self, work: Work, n_strips: int) -> int:
        """Return the cycles of the matrix products: K is divided over the rows of a strip, N over strips.

        Lanes take rows of the operands and stages columns of the weights, or the other way round. A block of results
        stays while K streams by, as fast as a PMU's port delivers its operands; the next one follows without a gap.
        """
        if not work.rows:
            return 0
        pcu = self.p.pcu
        rate = pcu.mac_rate[work.dtype]
        k, n = -(-work.k // self.strip), -(-work.n // n_strips)
        operands = bytes_of(pcu.lanes + pcu.stages, work.dtype)
        block = max(-(-k * pcu.lanes * pcu.stages // rate), -(-k * operands // self.p.pmu.read))
        return block * min(_blocks(work.rows, n, a, b) for a, b in ((pcu.lanes, pcu.stages), (pcu.stages, pcu.lanes)))

    def simd_cycles(self, work: Work, n_strips: int) -> int:
        """Return the cycles of the SIMD pipelines: an operation a stage and lane, operands through PMU ports."""
        pcu, pmu, n = self.p.pcu, self.p.pmu, n_strips * self.strip
        busy = (
            work.ops / (pcu.lanes * pcu.stages),
            work.tail_ops / pcu.tail_rate,
            work.read / pmu.read if not work.rows else 0,
            work.written / pmu.write if not work.rows else 0,
        )
        return math.ceil(max(busy) / n)

    def fill_cycles(self, work: Work, n_strips: int) -> int:
        """Return the cycles from the last operand to the last result: through the PCU, sums across lanes and rows."""
        pcu, hop = self.p.pcu, self.p.mesh.hop
        depth = pcu.lanes + pcu.stages if work.rows else pcu.stages
        across = self.strip * hop if work.rows else pcu.reduction + n_strips * hop
        return depth + across + self.p.pmu.access

    def route(self, before: tuple[int, int] | None, strips: tuple[int, int]) -> tuple[int, float]:
        """Return the cycles from one stage's memory units to those of the next, and the mean hops of a byte.

        What comes from links between sockets enters at the left edge. Every row carries its share to all strips.
        """
        start = before[0] + before[1] - 1 if before else 0
        first, last = strips[0], strips[0] + strips[1] - 1
        far = max(abs(first - start), abs(last - start))
        mesh = self.p.mesh
        per_die = mesh.columns // mesh.dies
        crossings = abs(last // per_die - start // per_die)
        cycles = far * mesh.hop + crossings * mesh.die_crossing + self.p.pmu.access
        return cycles, float(max(far, 1))

    def delivery(self, strips: tuple[int, int]) -> tuple[float, float]:
        """Return the share of a stream that the busiest link carries on its way from the AGCUs to some strips, and the
        mean hops.

        An AGCU sits at the head of every column and brings an equal share of every stream; data go down the column
        first, then along their row.
        """
        columns, rows = self.p.mesh.columns, self.strip
        first, n = strips
        share = [1 / n if first <= c < first + n else 0.0 for c in range(columns)]
        busiest, passed = 1 / columns, (rows + 1) / 2
        right, before = 0.0, 0.0
        for column in range(columns - 1):
            before += share[column]
            right = (column + 1) / columns
            eastward, westward = right * (1 - before), (1 - right) * before
            busiest = max(busiest, eastward / rows, westward / rows)
            passed += eastward + westward
        return busiest, passed

    def delivery_cycles(self, strips: tuple[int, int]) -> int:
        """Return the cycles of the longest way of a stream to some strips."""
        mesh = self.p.mesh
        first, last = strips[0], strips[0] + strips[1] - 1
        far = max(last, mesh.columns - 1 - first)
        crossings = mesh.dies - 1
        return (far + self.strip) * mesh.hop + crossings * mesh.die_crossing + self.p.pmu.access


def _blocks(rows: tuple[int, ...], n: int, a: int, b: int) -> int:
    return sum(-(-m // a) for m in rows if m) * -(-n // b)
