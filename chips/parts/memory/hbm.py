"""The memory stacks of a die as one part: channels of banks behind an interleave, advanced a window at a time."""

from __future__ import annotations

import functools
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy, DramChannels
from dieshot.chips.parts.memory.lockstep import burst_cycles, in_lockstep
from dieshot.kernels import dram
from dieshot.kernels import dram_stack as stack
from dieshot.kernels.die_state import Stacks
from dieshot.kernels.dram_timing import RD, WR
from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port
from dieshot.simulator.params.memory import MemoryParameters

FOREVER = 2**62
FIRST_CAPACITY = 4096
MIB = 1 << 20


@dataclass(frozen=True)
class HbmDesign:
    """All stacks of a die. memory: the standard at the die's speed, bank groups in lockstep. access_bytes: what goes to
    one pseudo-channel before the next. path_fs: controller, PHY and wires, there and back. hold_fs: how long the cache
    keeps what was written while reads wait."""

    memory: MemoryParameters
    policy: ControllerPolicy
    burst_cycles: int
    access_bytes: int
    path_fs: int
    hold_fs: int

    @property
    def n_pins(self) -> int:
        """Pseudo-channels: each has data pins, and a log line, of its own."""
        return self.policy.n_channels * self.memory.geometry.n_pseudo_channels

    @property
    def tick_fs(self) -> int:
        """The command bus's finest step."""
        return self.memory.timings.tCK // self.memory.bus.ticks_per_cycle

    @property
    def burst_ticks(self) -> int:
        """How long a burst takes the pins."""
        return self.burst_cycles * self.memory.bus.ticks_per_cycle

    @property
    def least_latency_fs(self) -> int:
        """From a request to its fill at the earliest: a row hit."""
        t = self.memory.timings
        return (t.nCL + t.nBL) * self.memory.bus.ticks_per_cycle * self.tick_fs + self.path_fs

    @property
    def idle_latency_fs(self) -> int:
        """From a request to its fill where its bank is closed and nothing else is going on."""
        return self.least_latency_fs + self.memory.timings.nRCDRD * self.memory.bus.ticks_per_cycle * self.tick_fs

    @property
    def refresh_fs(self) -> int:
        """How long a refresh of all banks keeps a pseudo-channel from work."""
        return self.memory.timings.nRFC * self.memory.timings.tCK

    @property
    def pin_fs_per_mib(self) -> int:
        """How long one pseudo-channel's pins take for a MiB."""
        return MIB * self.burst_ticks * self.tick_fs // self.memory.geometry.burst

    @property
    def bytes_per_fs(self) -> float:
        """What all pins move, less the share of the time that refreshes of all banks take."""
        t = self.memory.timings
        return self.n_pins * MIB / self.pin_fs_per_mib * (1 - t.nRFC / t.nREFI)

    @property
    def bytes_per_s(self) -> float:
        """What all pins move at their peak."""
        return self.n_pins * MIB * FS_PER_SECOND / self.pin_fs_per_mib

    @functools.cached_property
    def shape(self) -> Rows:
        """The constants of kernels/dram_stack.py."""
        geometry = self.memory.geometry
        values = {
            stack.TICK_FS: self.tick_fs,
            stack.PATH_FS: self.path_fs,
            stack.ACCESS_BYTES: self.access_bytes,
            stack.BURST_BYTES: geometry.burst,
            stack.BURST_TICKS: self.burst_ticks,
            stack.N_CHANNELS: self.policy.n_channels,
            stack.PSEUDO_BANKS: geometry.n_stack_ids * geometry.n_bank_groups * geometry.n_banks,
            stack.ROW_ACCESSES: geometry.n_columns * geometry.burst // self.access_bytes,
            stack.REFRESH_TICKS: self.memory.timings.nRFC * self.memory.bus.ticks_per_cycle,
            stack.HOLD_TICKS: self.hold_fs // self.tick_fs,
            stack.ACCESS_BURSTS: -(-self.access_bytes // geometry.burst),
        }
        return np.array([values[index] for index in range(stack.N_SHAPE)], np.int64)


def chase_latency_fs(memory: MemoryParameters) -> int:
    """Return what a read of one burst takes at the pins of an idle channel whose bank has another row open, as a random
    pointer chase finds it."""
    t = memory.timings
    return (t.nRP + t.nRCDRD + t.nCL + t.nBL) * t.tCK


def hbm_design(
    memory: MemoryParameters, policy: ControllerPolicy, access_bytes: int, path_fs: int, hold_fs: int
) -> HbmDesign:
    """Return the stacks of a memory whose bank groups work in lockstep."""
    spacing = burst_cycles(memory.timings, memory.geometry.n_bank_groups)
    return HbmDesign(in_lockstep(memory), policy, spacing, access_bytes, path_fs, hold_fs)


class HbmStacks:
    """All channels behind a cache; answers reads with the time their last byte is back at the cache."""

    def __init__(self, design: HbmDesign, tile_bytes: Rows, log: ActivityLog, backlog: Rows) -> None:
        self.design = design
        self.log = log
        self.channels = DramChannels(design.memory, design.policy)
        ends = np.cumsum(tile_bytes, dtype=np.int64)
        self.tile_address = ends - tile_bytes
        self.regs = np.zeros(stack.N_REGS, np.int64)
        self.regs[stack.WRITE_POINTER] = ends[-1] if len(ends) else 0
        self.regs[[stack.FREE_ACCESS, stack.FREE_REQUEST]] = stack.NONE
        self.queue = np.zeros((design.policy.n_channels, stack.N_QUEUE), np.int64)
        self.queue[:, [stack.HEAD, stack.WRITE_HEAD]] = stack.NONE
        self.accesses = np.empty((0, stack.N_ACCESS), np.int64)
        self.pending = np.empty((0, stack.N_REQUEST), np.int64)
        self.columns = np.empty((3, 0), np.int64)  # is_write, extra, finished of every access
        self.pins = np.zeros((design.n_pins, stack.N_PINS), np.int64)
        self.hold_capacity(0)
        self._begin(backlog)
        self.announced = np.empty((0, 4), np.int64)

    def _begin(self, backlog: Rows) -> None:
        """Spread the refreshes of all channels over the interval, and keep pins busy with what went before."""
        chan, interval = self.channels.chan, int(self.channels.cfg[dram.REFRESH_INTERVAL])
        n = self.design.policy.n_channels
        if self.design.policy.refresh != "none":
            chan[:, dram.NEXT_REFRESH] = interval * np.arange(1, n + 1) // n
        ticks = -(-backlog[:, 0] // self.design.tick_fs)
        n_pseudo = self.design.memory.geometry.n_pseudo_channels
        self.channels.next_ok[:, :n_pseudo, :] = ticks.reshape(n, n_pseudo, 1)
        self.pins[:, stack.DATA_END] = ticks
        if self.log.record:
            self.log.begin(backlog)

    def hold_capacity(self, n_used: int) -> None:
        """Make room for accesses and requests beyond the `n_used` first ones, and put it on the free lists."""
        grown = max(FIRST_CAPACITY, 2 * n_used)
        accesses, pending = np.zeros((grown, stack.N_ACCESS), np.int64), np.zeros((grown, stack.N_REQUEST), np.int64)
        columns = np.zeros((3, grown), np.int64)
        if n_used:
            accesses[:n_used], pending[:n_used], columns[:, :n_used] = self.accesses, self.pending, self.columns
        free = np.arange(n_used, grown)
        accesses[free[:-1], stack.NEXT] = free[1:]
        accesses[free[-1], stack.NEXT] = self.regs[stack.FREE_ACCESS]
        pending[free[:-1], stack.NEXT_FREE] = free[1:]
        pending[free[-1], stack.NEXT_FREE] = self.regs[stack.FREE_REQUEST]
        self.regs[[stack.FREE_ACCESS, stack.FREE_REQUEST]] = n_used
        self.accesses, self.pending = accesses, pending
        self.columns = columns
        self.fill_rows = np.empty((grown, 2), np.int64)
        self.log_rows = np.empty((4 * grown if self.log.record else 0, 5), np.int64)

    def _due(self, misses: Rows, until_fs: int) -> Rows:
        """Return what arrives before `until_fs`, first come first; a store announces its write while it waits for
        the L2."""
        if len(self.announced):
            misses = np.concatenate((self.announced, misses))
        if len(misses) == 0:
            return misses
        if len(misses) > 1:
            misses = misses[np.argsort(misses[:, 0], kind="stable")]
        due = int(np.searchsorted(misses[:, 0], until_fs))
        self.announced = misses[due:]
        return misses[:due]

    def serve(self, misses: Rows, until_fs: int) -> Rows:
        """Take a batch in (n, 4: time, bytes, read/write, tile) and advance; return the fills (n, 2: time, tile)."""
        under_way = int(self.queue[:, stack.IN_FLIGHT].sum())
        coming = int((misses[:, 1] // self.design.access_bytes).sum()) + 2 * len(misses)
        while under_way + coming > len(self.accesses):
            self.hold_capacity(len(self.accesses))
        c = self.channels
        counts = stack.advance_stack(
            until_fs, self.log.record, misses, len(misses), self.tile_address, self.design.shape, c.cfg, c.nodes,
            c.delay, c.hold, c.next_ok, c.acts, c.open_row, c.lists, c.counts, c.chan, c.tally, self.queue,
            self.accesses, self.columns[0], self.columns[1], self.columns[2], self.pending, self.pins, self.regs,
            self.log.open, self.fill_rows, self.log_rows,
        )  # fmt: skip
        self.log.keep(self.log_rows[: counts & 0xFFFFFFFF])
        return self.fill_rows[: counts >> 32].copy()

    def drain(self) -> Rows:
        """Carry out all that is under way; return when each pseudo-channel's last data has moved (fs)."""
        self.serve(self._due(np.empty((0, 4), np.int64), FOREVER), FOREVER)
        return self.end_fs

    @property
    def end_fs(self) -> Rows:
        """When each pseudo-channel's last data so far has moved (fs)."""
        end: Rows = self.pins[:, stack.DATA_END] * self.design.tick_fs
        return end

    def state(self) -> Stacks:
        """Return what the loop of a whole die works on."""
        c = self.channels
        return Stacks(
            self.tile_address, self.design.shape, c.cfg, c.nodes, c.delay, c.hold, c.next_ok, c.acts, c.open_row,
            c.lists, c.counts, c.chan, c.tally, self.queue, self.accesses, self.columns[0], self.columns[1],
            self.columns[2], self.pending, self.pins,
            self.regs, self.log.open, self.fill_rows, self.log_rows,
        )  # fmt: skip

    def counters(self) -> dict[str, int]:
        """Return bytes and row commands since the part was built."""
        commands = self.channels.counters()
        return {
            "hbm_read_bytes": int(self.regs[stack.READ_BYTES]),
            "hbm_write_bytes": int(self.regs[stack.WRITE_BYTES]),
            "hbm_row_hits": commands["hits"],
            "hbm_row_misses": commands["misses"],
            "hbm_row_conflicts": commands["conflicts"],
            "hbm_busiest_channel": int(self.channels.tally[:, [RD, WR]].sum(axis=1).max()),
        }


class HbmChannels(HbmStacks, Component):
    """The stacks as a process of their own, at the other end of ports."""

    def __init__(
        self,
        env: simpy.Environment,
        design: HbmDesign,
        tile_bytes: Rows,
        misses: Port,
        fills: Port,
        log: ActivityLog,
        backlog: Rows,
    ) -> None:
        self.misses = misses
        self.fills = fills
        HbmStacks.__init__(self, design, tile_bytes, log, backlog)
        Component.__init__(self, env, "hbm")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Serve one batch of misses a window."""
        while True:
            misses, until_fs = yield self.misses.receive()
            self.fills.send(self.serve(self._due(misses, until_fs), until_fs))


def pin_lines(memory: MemoryParameters, stacks: int, burst_cycles: int) -> list[ComponentSpec]:
    """Return the lines of the log: one for the data pins of each pseudo-channel, as their standard has them."""
    geometry = memory.geometry
    width = geometry.burst // burst_cycles
    return [
        ComponentSpec(f"hbm{number}/channel{channel}/pins{pseudo}", "hbm_channel", memory.timings.tCK, "byte", width)
        for number in range(stacks)
        for channel in range(geometry.n_channels)
        for pseudo in range(geometry.n_pseudo_channels)
    ]
