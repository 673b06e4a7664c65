"""What a scratchpad asks of the memory behind it: DRAM channels command by command, and a network on the way."""

from __future__ import annotations

from collections.abc import Generator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.memory.address_map import address_map
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy, DramChannels
from dieshot.kernels import transfer as loop
from dieshot.kernels.transfer import N_ROWS, ROW_BYTES, WRITE
from dieshot.simulator.engine.component import Component
from dieshot.simulator.errors import InputError
from dieshot.simulator.params.memory import MemoryParameters

Rows = NDArray[np.int64]


class Memory(Protocol):
    """A memory that times batches of transfers; state stays with it from batch to batch."""

    def serve(self, transfers: Rows) -> Rows:
        """Time transfers (n, kernels.transfer.N_TRANSFER), first come first served, none before those of earlier calls.

        Returns (n) the time in fs at which each is done: a read's last byte is here, a write is known to be stored.
        """
        ...


@dataclass(frozen=True)
class NetworkTiming:
    """The way between cores and channels: a link from each to each. latency_fs: one way. link_bytes_per_s: of one
    link."""

    latency_fs: int
    link_bytes_per_s: int

    def burst_fs(self, burst_bytes: int) -> int:
        """Time for which a burst holds a link."""
        return -(-burst_bytes * 10**15 // self.link_bytes_per_s)


class DramMemory:
    """DRAM channels behind a network. Channels in the same state that are asked for the same are simulated once.

    A batch is served until its last byte has moved, so rows for the next one are opened no earlier than that.
    """

    def __init__(
        self, parameters: MemoryParameters, policy: ControllerPolicy, network: NetworkTiming, n_requesters: int = 1
    ) -> None:
        self.parameters = parameters
        self.policy = policy
        self.network = network
        self.map = address_map(policy.mapping, parameters.geometry, policy.n_channels)
        self.read_bytes = 0
        self.written_bytes = 0
        self.n_bursts = 0
        one = replace(policy, n_channels=1, offers_per_tick=max(1, policy.offers_per_tick // policy.n_channels))
        self._states = [DramChannels(parameters, one)]
        self._state_of = np.zeros(policy.n_channels, np.int64)
        self._link_free_fs = np.zeros((n_requesters, policy.n_channels), np.int64)

    @property
    def peak_bytes_per_s(self) -> float:
        """Bytes that the pins of all channels move in a second."""
        geometry, timings = self.parameters.geometry, self.parameters.timings
        each = geometry.burst * geometry.n_pseudo_channels / (timings.nBL * timings.tCK)
        return float(each * self.policy.n_channels * 1e15)

    @property
    def n_states(self) -> int:
        """Channels that had to be told apart so far."""
        return len(self._states)

    def serve(self, transfers: Rows) -> Rows:
        """Time transfers; see Memory. InputError names the transfer that is none."""
        geometry = self.parameters.geometry
        n = int(loop.count_bursts(geometry.burst, transfers))
        if n < 0:
            raise InputError(
                f"transfer {-1 - n} is out of range", value=", ".join(map(str, transfers[-1 - n].tolist()))
            )
        addresses, is_write, transfer = (np.empty(n, np.int64) for _ in range(3))
        loop.cut_into_bursts(geometry.burst, transfers, addresses, is_write, transfer)
        channel, bank, row = self.map.decode(addresses)
        arrival = self._send(transfers, transfer, channel)
        if (transfers[:, loop.REQUESTER] != transfers[:1, loop.REQUESTER]).any():
            order = np.argsort(arrival, kind="stable")
            channel, transfer = channel[order], transfer[order]
            bank, row, is_write, arrival = bank[order], row[order], is_write[order], arrival[order]
        last = self._serve_bursts(channel, transfer, (arrival, bank, row, is_write), len(transfers))
        self._count(transfers, n)
        ticks_per_cycle = self.parameters.bus.ticks_per_cycle
        done_fs = -(-last * self.parameters.timings.tCK // ticks_per_cycle) + self.network.latency_fs
        return np.asarray(done_fs, np.int64)

    def _send(self, transfers: Rows, transfer: Rows, channel: Rows) -> Rows:
        arrival = np.empty(len(transfer), np.int64)
        burst_fs, latency_fs = self.network.burst_fs(self.parameters.geometry.burst), self.network.latency_fs
        clock = (self.parameters.timings.tCK, self.parameters.bus.ticks_per_cycle)
        loop.send_bursts(burst_fs, latency_fs, *clock, self._link_free_fs, transfers, transfer, channel, arrival)
        return arrival

    def _serve_bursts(
        self, channel: Rows, transfer: Rows, items: tuple[Rows, Rows, Rows, Rows], n_transfers: int
    ) -> Rows:
        """Serve bursts (arrival, bank, row, is_write: n each); return the tick in which each transfer is done."""
        n_channels = self.policy.n_channels
        first, like = np.empty(n_channels + 1, np.int64), np.empty(n_channels, np.int64)
        slot, by_channel = np.empty(len(channel), np.int64), np.empty((len(items), len(channel)), np.int64)
        loop.sort_by_channel(channel, *items, self._state_of, first, slot, by_channel, like)
        self._part_states(like)
        finished, last = np.empty(len(channel), np.int64), np.empty(n_transfers, np.int64)
        for ch in np.flatnonzero(like == np.arange(n_channels)):
            mine = slice(first[ch], first[ch + 1])
            if mine.stop > mine.start:
                arrival, bank, row, is_write = by_channel[:, mine]
                state = self._states[self._state_of[ch]]
                nowhere = np.zeros(len(bank), np.int64)
                finished[mine] = state.serve_decoded(nowhere, bank, row, arrival, is_write).finished
        loop.last_of_transfers(channel, transfer, slot, first, like, finished, last)
        return last

    def _part_states(self, like: Rows) -> None:
        """Give channels that were in one state, and are now asked for different things, states of their own."""
        kept: set[int] = set()
        for ch in np.flatnonzero(like == np.arange(len(like))):
            shared = int(self._state_of[ch])
            if shared in kept:
                self._state_of[like == ch] = len(self._states)
                self._states.append(_copied(self._states[shared]))
            kept.add(shared)

    def _count(self, transfers: Rows, n_bursts: int) -> None:
        moved = transfers[:, ROW_BYTES] * transfers[:, N_ROWS]
        written = int(moved[transfers[:, WRITE] == 1].sum())
        self.written_bytes += written
        self.read_bytes += int(moved.sum()) - written
        self.n_bursts += n_bursts

    def energy_fj(self, duration_fs: int) -> int:
        """Return the energy in fJ of all channels up to `duration_fs`."""
        shares = np.bincount(self._state_of, minlength=len(self._states)).tolist()
        return sum(n * sum(s.energy_fj(duration_fs).values()) for n, s in zip(shares, self._states, strict=True))

    def counters(self) -> dict[str, int]:
        """Return hits, misses, conflicts and commands over all channels."""
        shares = np.bincount(self._state_of, minlength=len(self._states))
        total: dict[str, int] = {}
        for state, share in zip(self._states, shares, strict=True):
            for name, count in state.counters().items():
                total[name] = total.get(name, 0) + int(share) * count
        return total


def _copied(channels: DramChannels) -> DramChannels:
    """Return channels that go on by themselves from the same state."""
    twin = copy(channels)
    for name, value in vars(channels).items():
        if isinstance(value, np.ndarray):
            setattr(twin, name, value.copy())
    return twin


class SharedMemory(Component):
    """Hands what the cores ask in the same instant to their memory together, so that it serves them in turn."""

    def __init__(self, env: simpy.Environment, name: str, memory: Memory) -> None:
        self.memory = memory
        self._asked: list[tuple[simpy.Event, Rows]] = []
        self._wake = env.event()
        super().__init__(env, name)

    def ask(self, transfers: Rows) -> simpy.Event:
        """Return the event, in this instant, whose value is when each transfer is done (n, in fs)."""
        answer = self.env.event()
        self._asked.append((answer, transfers))
        if not self._wake.triggered:
            self._wake.succeed()
        return answer

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Serve what was asked in one instant after the other."""
        while True:
            yield self._wake
            self._wake = self.env.event()
            yield self.env.timeout(0)
            asked, self._asked = self._asked, []
            done_fs = self.memory.serve(np.concatenate([transfers for _, transfers in asked]))
            begin = 0
            for answer, transfers in asked:
                answer.succeed(done_fs[begin : begin + len(transfers)])
                begin += len(transfers)
