"""DRAM channels of a standard under a controller: builds the timing loop's arrays and hands batches of items over."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.memory.address_map import AddressMap, address_map
from dieshot.kernels import dram
from dieshot.kernels import dram_advance as loop
from dieshot.kernels.dram_queue import N_ENTRY, N_LISTS
from dieshot.kernels.dram_repeat import N_META
from dieshot.kernels.dram_timing import ACT, COMMANDS, N_COMMANDS, RD, TIMING_NAMES, WR, bank_nodes, delay_table
from dieshot.kernels.dram_turns import N_AT_BANK
from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.memory import MemoryParameters, MemoryTimings

Int64s = NDArray[np.int64]

SCHEDULERS = ("frfcfs", "rowhit", "bankturn")
REFRESHES = {"none": dram.NO_REFRESH, "allbank": dram.ALL_BANK, "perbank": dram.PER_BANK}
PAGES = {"open": 0, "closed": 1}
LONG_AGO = -(1 << 40)
LONGEST_QUEUE = 4096
N_SNAPSHOTS, SNAPSHOT_WORDS = 256, 1 << 21  # states kept in the search for repetition, and words for all of them
ONE_BURST = np.zeros(1, np.int64)
NOWHERE = np.zeros(0, np.int64)
HIGH_WATERMARK, LOW_WATERMARK = 0.8, 0.2  # of the write queue, as Ramulator 2's controller has them
TURN_WATERMARK = 0.25  # with bank turns, of the write queue: 8 of 32, as DRAMsim3's controller has it


@dataclass(frozen=True)
class ControllerPolicy:
    """How a controller works. queue: depth of its read queue, and of its write queue, per channel.

    scheduler: `frfcfs`, the oldest request whose command is ready, columns before rows; `rowhit`, the same, and a row
    stays open while requests that are served now want it; `bankturn`, every bank has a queue of `bank_queue` requests,
    filled from the others one a tick, and the banks take turns (kernels/dram_turns.py). offers_per_tick: requests that
    can be offered to all channels in one tick of the command bus. forward: a read that finds its address in a waiting
    write is answered from that in the next tick.
    """

    scheduler: str = "frfcfs"
    queue: int = 32
    refresh: str = "allbank"
    page: str = "open"
    mapping: str = "mop4clxor"
    n_channels: int = 1
    offers_per_tick: int = 4
    bank_queue: int = 0
    forward: bool = True

    def __post_init__(self) -> None:
        for key, choices in (("scheduler", SCHEDULERS), ("refresh", REFRESHES), ("page", PAGES)):
            chosen = getattr(self, key)
            if chosen not in choices:
                nearest = nearest_name(chosen, choices)
                raise InputError(f"unknown {key}", key=key, value=chosen, expected=listed(choices), nearest=nearest)
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is int and value < (0 if field.name == "bank_queue" else 1):
                raise InputError("too small", key=field.name, value=value, expected="a positive number")
        for key in ("queue", "bank_queue"):
            if getattr(self, key) > LONGEST_QUEUE:
                expected = f"at most {LONGEST_QUEUE}"
                raise InputError("too large", key=key, value=getattr(self, key), expected=expected)
        if (self.scheduler == "bankturn") != (self.bank_queue > 0):
            expected = "at least 1 with scheduler=bankturn, 0 without"
            raise InputError("out of range", key="bank_queue", value=self.bank_queue, expected=expected)


def timing_cycles(timings: MemoryTimings) -> dict[str, int]:
    """Return the timings in CK cycles by JEDEC name; InputError where two contradict each other."""
    t = {name: int(getattr(timings, name)) for name in TIMING_NAMES}
    bounds = [("nRC", "nRAS"), ("nRAS", "nRTP"), ("nCCDL", "nCCDS"), ("nRRDL", "nRRDS"), ("nFAW", "nRRDS"),
              ("nREFI", "nRFC"), ("nWTRL", "nWTRS"), ("nBL", ""), ("nREFIpb", "")]  # fmt: skip
    for name, least in bounds:
        if t[name] < (t[least] if least else 1):
            raise InputError("too small", key=f"timings.{name}", value=t[name], expected=f"at least {least or 1}")
    return t


@dataclass(frozen=True)
class Service:
    """What became of items: ticks at which each entered its queue and at which its data had moved."""

    accepted: Int64s
    finished: Int64s


class DramChannels:
    """The channels of one memory behind one front end; state persists between batches."""

    def __init__(self, parameters: MemoryParameters, policy: ControllerPolicy) -> None:
        self.parameters = parameters
        self.policy = policy
        self.timings = timing_cycles(parameters.timings)
        self.ticks_per_cycle = parameters.bus.ticks_per_cycle
        self._build_constants()
        self._build_state()

    @functools.cached_property
    def map(self) -> AddressMap:
        """The address mapping; InputError where channels, banks or rows are no power of two."""
        return address_map(self.policy.mapping, self.parameters.geometry, self.policy.n_channels)

    def _build_constants(self) -> None:
        geometry, bus, scale = self.parameters.geometry, self.parameters.bus, self.ticks_per_cycle
        shape = (geometry.n_pseudo_channels, geometry.n_stack_ids, geometry.n_bank_groups, geometry.n_banks)
        self.nodes = bank_nodes(*shape)
        self.delay = delay_table(self.timings, scale)
        self.hold = np.full(N_COMMANDS, bus.row, np.int64)
        self.hold[ACT] = bus.act
        self.hold[[RD, WR]] = bus.column
        self.cfg = np.zeros(dram.N_CFG, np.int64)
        for index, value in self._settings().items():
            self.cfg[index] = value

    def _settings(self) -> dict[int, int]:
        t, policy, scale = self.timings, self.policy, self.ticks_per_cycle
        return {
            dram.N_PSEUDO: self.parameters.geometry.n_pseudo_channels,
            dram.N_STACK: self.parameters.geometry.n_stack_ids,
            dram.READ_DEPTH: policy.queue,
            dram.WRITE_DEPTH: policy.queue,
            dram.HIGH_MARK: int(HIGH_WATERMARK * policy.queue),
            dram.LOW_MARK: int((TURN_WATERMARK if policy.bank_queue else LOW_WATERMARK) * policy.queue),
            dram.OFFERS_PER_TICK: policy.offers_per_tick,
            dram.PREFER_HITS: policy.scheduler == "rowhit",
            dram.SHARED_BUS: self.parameters.bus.shared,
            dram.SYNC_TICKS: self.parameters.bus.sync or 0,
            dram.FORWARD: policy.forward,
            dram.CLOSE_PAGE: PAGES[policy.page],
            dram.REFRESH: REFRESHES[policy.refresh],
            dram.REFRESH_INTERVAL: scale * (t["nREFIpb"] if policy.refresh == "perbank" else t["nREFI"]),
            dram.READ_TICKS: scale * (t["nCL"] + t["nBL"]),
            dram.WRITE_TICKS: scale * (t["nCWL"] + t["nBL"]),
            dram.FAW: scale * t["nFAW"],
            dram.BANK_DEPTH: policy.bank_queue,
            dram.RP: scale * t["nRP"],
        }

    def _build_state(self) -> None:
        n, n_pseudo = self.policy.n_channels, self.parameters.geometry.n_pseudo_channels
        self.regs = np.zeros(loop.N_REGS, np.int64)
        self.next_ok = np.zeros((n, int(self.nodes.max()) + 1, N_COMMANDS), np.int64)
        self.acts = np.full((n, n_pseudo, dram.CLOCK_UNTIL + 1), LONG_AGO, np.int64)
        self.open_row = np.full((n, len(self.nodes)), -1, np.int64)
        capacity = max(
            self.policy.queue, len(self.nodes) * max(1, self.policy.bank_queue)
        )  # at most one row is being opened in a bank
        self.lists = np.zeros((n, N_LISTS, N_ENTRY, capacity), np.int64)
        self.at_bank = np.zeros((n, len(self.nodes) if self.policy.bank_queue else 0, N_AT_BANK), np.int64)
        self.counts = np.zeros((n, N_LISTS), np.int64)
        self.chan = np.zeros((n, dram.N_CHAN), np.int64)
        refreshed = self.policy.refresh != "none"
        self.chan[:, dram.NEXT_REFRESH] = self.cfg[dram.REFRESH_INTERVAL] if refreshed else dram.FAR
        self.tally = np.zeros((n, N_COMMANDS), np.int64)

    @functools.cached_property
    def search_space(self) -> tuple[Int64s, Int64s]:
        """Working space of the search for repetition: states kept, and what is noted beside each."""
        n = self.policy.n_channels
        length = self.next_ok.size + self.acts.size + 2 * self.open_row.size + n * (dram.N_CHAN + N_LISTS)
        length += n * N_ENTRY * (len(self.nodes) * (1 + self.policy.bank_queue) + 3 * self.policy.queue)
        kept = min(N_SNAPSHOTS, SNAPSHOT_WORDS // length)
        noted = N_META + n * (dram.N_CHAN - dram.HITS + N_COMMANDS)
        return np.zeros((kept, length), np.int64), np.zeros((kept, noted), np.int64)

    def serve(self, addresses: Int64s, arrival_ticks: Int64s, is_write: Int64s) -> Service:
        """Serve byte addresses in order of arrival until the last data has moved; InputError on times that overflow."""
        column = NOWHERE
        if self.policy.forward and is_write.any():
            channel, bank, row, column = self.map.decode_to_column(addresses)
        else:
            channel, bank, row = self.map.decode(addresses)
        return self.serve_decoded(channel, bank, row, arrival_ticks, is_write, column)

    def serve_decoded(
        self,
        channel: Int64s,
        bank: Int64s,
        row: Int64s,
        arrival_ticks: Int64s,
        is_write: Int64s,
        column: Int64s = NOWHERE,
    ) -> Service:
        """Serve items whose place is known; without columns no read is answered from a waiting write."""
        accepted, finished = np.empty(len(bank), np.int64), np.zeros(len(bank), np.int64)
        self.regs[[loop.NEXT_ITEM, loop.N_SNAPSHOTS, loop.REPEATED]] = 0
        status = loop.advance_dram(
            dram.FAR, self.cfg, self.nodes, self.delay, self.hold, self.regs, self.next_ok, self.acts, self.open_row,
            self.lists, self.counts, self.chan, self.tally, arrival_ticks, channel, bank, row, column,
            is_write, accepted, finished, *self.search_space, self.at_bank, ONE_BURST,
        )  # fmt: skip
        self._raise(int(status), arrival_ticks)
        return Service(accepted, finished)

    def _raise(self, status: int, arrival_ticks: Int64s) -> None:
        name, item = self.parameters.name, int(self.regs[loop.NEXT_ITEM])
        if status == dram.OVERFLOW:
            expected = f"times in ticks from 0 to {dram.LATEST}, not falling"
            value = int(arrival_ticks[item])
            raise InputError(f"{name}: arrival of item {item}", key="arrival", value=value, expected=expected)
        if status == dram.BAD_ITEM:
            raise InputError(f"{name}: item {item} is at a bank or channel that does not exist", key="bank")
        if status == dram.STARVED:
            expected = "timings that leave requests time between refreshes"
            raise InputError(f"{name}: nothing is served any more", key="timings.nREFI", value=self.timings["nREFI"],
                             expected=expected)  # fmt: skip
        if status != dram.OK:
            raise RuntimeError(f"{name}: requests wait for what cannot come, at tick {self.regs[loop.NOW]}")

    def energy_fj(self, duration_fs: int) -> dict[str, int]:
        """Return energy by command, of the pins and of the background since the channels were built."""
        e, n = self.parameters.energy, self.tally.sum(axis=0)
        count = {name: int(n[i]) for i, name in enumerate(COMMANDS)}
        bits = 8 * self.parameters.geometry.burst * (count["RD"] + count["WR"])
        return {
            "ACT": e.act * count["ACT"],
            "PRE": e.pre * (count["PRE"] + self.closed_by_all_bank()),
            "RD": e.rd * count["RD"],
            "WR": e.wr * count["WR"],
            "REF": e.ref_all_bank * count["REFab"] + e.ref_per_bank * count["REFpb"],
            "io": round(e.io * bits),
            "background": e.background * duration_fs // 1000 * self.policy.n_channels,
        }

    def closed_by_all_bank(self) -> int:
        """Return how many open rows PREab has closed: every row opened was closed once, or is still open."""
        n = self.tally.sum(axis=0)
        still_open = int((self.open_row >= 0).sum())
        return int(n[0]) - int(n[1]) - still_open

    def counters(self) -> dict[str, int]:
        """Return hits, misses, conflicts and the number of every command issued."""
        counted = {"hits": dram.HITS, "misses": dram.MISSES, "conflicts": dram.CONFLICTS,
                   "forwarded": dram.FORWARDED}  # fmt: skip
        found = {name: int(self.chan[:, index].sum()) for name, index in counted.items()}
        issued = self.tally.sum(axis=0)
        return found | {f"n_{name}": int(issued[i]) for i, name in enumerate(COMMANDS)}
