"""A network as a part of a chip: takes packets from a port, window by window, and hands back those that arrived."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.noc.network import LATEST_CYCLE, Network, NetworkState
from dieshot.kernels import noc_table as t
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]

# Columns of the packets of a batch; of the arrivals that answer it.
CREATED_FS, SOURCE, DESTINATION, FLITS, TAG = range(5)
N_SENT = 5
ARRIVED_FS, ARRIVED_TAG = range(2)
N_ARRIVED = 2


@dataclass(frozen=True)
class Window:
    """Packets (n, N_SENT) created before `end_fs`, none before the end of the window before; None: no window follows.

    A window without packets is news, too: what is under way cannot meet others until its end.
    """

    end_fs: int | None
    packets: Rows


class PacketNetwork(Component):
    """Moves the flits of all packets up to the end of each window; answers it with arrivals (n, N_ARRIVED) by time.

    The answer holds the packets of this and earlier windows whose tails have arrived by then. flit_hops: routers that
    flits have passed so far, for their energy.
    """

    def __init__(
        self, env: simpy.Environment, name: str, network: Network, cycle_fs: int, work: Port, done: Port
    ) -> None:
        self.cycle_fs = cycle_fs
        self.work = work
        self.done = done
        self.state = NetworkState(network)
        self._tags = np.zeros(0, np.int64)
        self._open = np.zeros(0, np.int64)  # rows of packets under way
        self._end_fs = 0
        super().__init__(env, name)

    @property
    def flit_hops(self) -> int:
        """Routers that flits have passed so far."""
        return int(self.state.regs[t.R_FLIT_HOPS])

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Answer one window after the other."""
        while True:
            window = yield self.work.receive()
            self.done.send(self.serve(window))
            if window.end_fs is None:
                return

    def serve(self, window: Window) -> Rows:
        """Return what arrives up to the end of a window. InputError for a packet that is not of it, or no packet."""
        sent = window.packets
        latest_fs = LATEST_CYCLE if window.end_fs is None else window.end_fs
        created = sent[:, CREATED_FS]
        strange = np.flatnonzero((created < self._end_fs) | (created >= latest_fs))
        if len(strange):
            expected = f"{self._end_fs} to {latest_fs - 1} fs"
            problem = f"{self.name}: packet {strange[0]} is not of this window"
            raise InputError(problem, value=int(created[strange[0]]), expected=expected)
        if len(sent):
            self._add(sent[np.lexsort((created, sent[:, SOURCE]))])
        self._end_fs = latest_fs
        self.state.advance(LATEST_CYCLE if window.end_fs is None else window.end_fs // self.cycle_fs)
        return self._arrivals()

    def _add(self, sent: Rows) -> None:
        cycles = -(-sent[:, CREATED_FS] // self.cycle_fs)
        packets = np.stack([cycles, sent[:, DESTINATION], sent[:, FLITS]], axis=1)
        rows = self.state.add(np.ascontiguousarray(sent[:, SOURCE]), packets)
        # Rows begin anew where all packets before have arrived.
        self._tags = np.concatenate([self._tags[: rows[0]], sent[:, TAG]])
        self._open = np.concatenate([self._open, rows])

    def _arrivals(self) -> Rows:
        arrived = self.state.delivered[self._open, t.D_FLITS] == self.state.packets[self._open, t.P_FLITS]
        rows, self._open = self._open[arrived], self._open[~arrived]
        answer = np.empty((len(rows), N_ARRIVED), np.int64)
        answer[:, ARRIVED_FS] = self.state.delivered[rows, t.D_ARRIVED] * self.cycle_fs
        answer[:, ARRIVED_TAG] = self._tags[rows]
        return answer[np.lexsort((answer[:, ARRIVED_TAG], answer[:, ARRIVED_FS]))]
