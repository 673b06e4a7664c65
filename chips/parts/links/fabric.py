"""Switched chip-to-chip links: ranks post messages, the wire times them link by link, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.kernels.link import MIB, reduce_in_switch, send_messages
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.engine.port import Port
from dieshot.simulator.params import LinkParameters
from dieshot.traces.operator import Operator

FLAG_BYTES = 128
PIECE_BYTES = 16384
MAX_PIECES = 256
LINES_A_RANK = 2
FLIT_BYTES = 32
LONGEST_FS = 1 << 62


@dataclass(frozen=True, slots=True)
class WireRates:
    """Time per MiB of payload (fs): written to a peer, read from a peer, and through a switch that adds."""

    write_fs_per_mib: int
    read_fs_per_mib: int
    switch_fs_per_mib: int


class Wire(Component):
    """The links and the switch: times a batch of messages against the state of every chip's egress and ingress."""

    def __init__(self, env: simpy.Environment, hop_fs: int, rates: WireRates, group: int, log: ActivityLog) -> None:
        self.hop_fs = hop_fs
        self.rates = rates
        self.log = log
        self.free = np.zeros((group, 2), np.int64)
        self.posted = Port(env, 0)
        self.delivered = Port(env, 0)
        super().__init__(env, "wire")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Time every batch posted; answer with the last arrival at each chip, when it has come."""
        while True:
            work: Callable[[Rows], Rows] = yield self.posted.receive()
            finish_fs = np.zeros(len(self.free), np.int64)
            self.log.keep(work(finish_fs))
            yield self.env.timeout(max(0, int(finish_fs.max()) - self.env.now))
            self.delivered.send(finish_fs)

    def messages(self, rows: Rows, reads: bool = False) -> Callable[[Rows], Rows]:
        """Return the work of sending messages (n, 4: ready fs, source, destination, bytes), as writes or for reads."""
        fs_per_mib = self.rates.read_fs_per_mib if reads else self.rates.write_fs_per_mib

        def work(finish_fs: Rows) -> Rows:
            log = np.empty((2 * len(rows) + 1, 5), np.int64)
            n_log = send_messages(
                self.hop_fs, fs_per_mib, self.log.record, rows, len(rows), self.free, finish_fs, self.log.open, log
            )
            return log[:n_log]

        return work

    def switch_reduction(self, ready_fs: int, bytes_: int) -> Callable[[Rows], Rows]:
        """Return the work of an all-reduce of `bytes_` on every chip that the switch adds up."""
        group = len(self.free)
        share = -(-bytes_ // group)
        n_pieces = min(MAX_PIECES, max(1, share // PIECE_BYTES))
        piece_bytes = -(-share // n_pieces)

        def work(finish_fs: Rows) -> Rows:
            log = np.empty((n_pieces * group * (2 * group + 2) + 1, 5), np.int64)
            reduced_fs = np.empty((n_pieces, group), np.int64)
            n_log = reduce_in_switch(
                ready_fs,
                self.hop_fs,
                self.rates.switch_fs_per_mib,
                self.log.record,
                piece_bytes,
                reduced_fs,
                self.free,
                finish_fs,
                self.log.open,
                log,
            )
            return log[:n_log]

        return work


def exchange(group: int, bytes_: int, ready_fs: int) -> Rows:
    """Return the messages with which every chip sends `bytes_` to every other, staggered so that no ingress meets
    two."""
    rounds, source = np.divmod(np.arange(group * (group - 1)), group)
    rows = np.empty((len(rounds), 4), np.int64)
    rows[:, 0] = ready_fs
    rows[:, 1] = source
    rows[:, 2] = (source + rounds + 1) % group
    rows[:, 3] = bytes_
    return rows


@dataclass(frozen=True, slots=True)
class Staging:
    """What a collective costs that moves its data through a library's buffers: setup, and filling them once."""

    setup_fs: int
    bytes: int

    def fill_fs(self, bytes_: int, fs_per_mib: int) -> int:
        """Return when the first data of `bytes_` has gone through the buffers."""
        return self.setup_fs + min(bytes_, self.bytes) * fs_per_mib // MIB


class Ranks(Component):
    """The chips of a group, alike: they launch, post their messages, add what arrived, and meet at every phase."""

    def __init__(
        self, env: simpy.Environment, local: LocalCosts, staging: Staging, wire: Wire, algorithm: str, bytes_: int
    ) -> None:
        self.local = local
        self.staging = staging
        self.wire = wire
        self.group = len(wire.free)
        self.bytes = bytes_
        self.algorithm = algorithm
        super().__init__(env, "ranks")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry out the algorithm."""
        yield self.env.timeout(self.local.launch_fs)
        yield from getattr(self, self.algorithm)()
        yield self.env.timeout(self.local.drain_fs)

    def one_shot(self) -> Generator[simpy.Event, Any, None]:
        """All-reduce: everybody writes everything to everybody, then adds all copies."""
        yield from self._barrier()
        yield from self._exchange(self.bytes)
        yield from self._touch(self.group * self.bytes)

    def two_shot(self) -> Generator[simpy.Event, Any, None]:
        """All-reduce: everybody reads and adds its share of all copies, then reads the sums of the others."""
        share = -(-self.bytes // self.group)
        yield from self._barrier()
        yield from self._read(share)
        yield from self._touch(self.group * share)
        yield from self._barrier()
        yield from self._read(share)
        yield from self._barrier()

    def staged(self) -> Generator[simpy.Event, Any, None]:
        """All-reduce: reduce-scatter by writes, then all-gather, through the library's buffers."""
        share = -(-self.bytes // self.group)
        yield self.env.timeout(self.staging.fill_fs(self.bytes, self.wire.rates.write_fs_per_mib))
        yield from self._barrier()
        yield from self._exchange(share)
        yield from self._touch(self.group * share)
        yield from self._exchange(share)

    def in_switch(self) -> Generator[simpy.Event, Any, None]:
        """All-reduce: the switch adds what the library's buffers hold."""
        yield self.env.timeout(self.staging.fill_fs(self.bytes, self.wire.rates.switch_fs_per_mib))
        yield from self._barrier()
        self.wire.posted.send(self.wire.switch_reduction(int(self.env.now), self.bytes))
        yield self.wire.delivered.receive()

    def gather(self) -> Generator[simpy.Event, Any, None]:
        """All-gather of `bytes` in all: everybody writes its share to everybody."""
        yield from self._exchange(-(-self.bytes // self.group))

    def push(self) -> Generator[simpy.Event, Any, None]:
        """Send `bytes` from chip 0 to chip 1."""
        self.wire.posted.send(self.wire.messages(np.array([[self.env.now, 0, 1, self.bytes + FLAG_BYTES]], np.int64)))
        yield self.wire.delivered.receive()

    def _barrier(self) -> Generator[simpy.Event, Any, None]:
        """Tell all peers that the own buffer may be written, and wait for theirs."""
        self.wire.posted.send(self.wire.messages(exchange(self.group, FLAG_BYTES, int(self.env.now))))
        yield self.wire.delivered.receive()

    def _exchange(self, bytes_: int) -> Generator[simpy.Event, Any, None]:
        """Write to all peers; the flag that tells of it follows the data on the same link."""
        yield from self._touch(bytes_)
        self.wire.posted.send(self.wire.messages(exchange(self.group, bytes_ + FLAG_BYTES, int(self.env.now))))
        yield self.wire.delivered.receive()

    def _read(self, bytes_: int) -> Generator[simpy.Event, Any, None]:
        """Read from all peers: the requests take a hop, then the data come."""
        ready_fs = int(self.env.now) + self.wire.hop_fs
        self.wire.posted.send(self.wire.messages(exchange(self.group, bytes_, ready_fs), reads=True))
        yield self.wire.delivered.receive()

    def _touch(self, bytes_: int) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(bytes_ * self.local.local_fs_per_mib // MIB)


class SwitchedFabric(Fabric):
    """Links through one layer of switches; a collective takes the fastest of the algorithms that it knows."""

    def __init__(self, parameters: LinkParameters, local: LocalCosts, first_component: int) -> None:
        self.parameters = parameters
        self.local = local
        self.first_component = first_component
        wire = parameters.n_links * parameters.rate
        in_switch = parameters.in_switch_efficiency or parameters.protocol_efficiency
        write_fs_per_mib = transfer_fs(MIB, int(wire * parameters.protocol_efficiency))
        round_trip_fs = 2 * parameters.hop_latency
        # What may be asked for and not yet there bounds the rate of reads; writes need no answer.
        window = parameters.read_window
        read_fs_per_mib = max(write_fs_per_mib, round_trip_fs * MIB // window if window else 0)
        self.rates = WireRates(write_fs_per_mib, read_fs_per_mib, transfer_fs(MIB, int(wire * in_switch)))
        self.staging = Staging(parameters.staging_setup or 0, parameters.staging_buffer or 0)
        self._cells: dict[Hashable, Cell] = {}

    def components(self) -> Sequence[ComponentSpec]:
        """Return egress and ingress: the links of a chip are striped and act alike."""
        p = self.parameters
        clock = Clock.from_hz(int(p.rate * p.protocol_efficiency) // FLIT_BYTES)
        return [
            ComponentSpec(f"link/{side}", "link", clock.period_fs, "byte", FLIT_BYTES * p.n_links, count=p.n_links)
            for side in ("egress", "ingress")
        ]

    def carry_out(self, operator: Operator, group: int, record: bool = True) -> Cell:
        """Simulate a collective; see Fabric."""
        if group > self.parameters.max_chips:
            raise UnsupportedError(f"{self.parameters.name} joins {self.parameters.max_chips} chips, not {group}")
        slowest_fs_per_mib = max(self.rates.write_fs_per_mib, self.rates.read_fs_per_mib, self.rates.switch_fs_per_mib)
        if (
            slowest_fs_per_mib > LONGEST_FS // MIB
            or operator.output_bytes > LONGEST_FS // (2 * group + 2) * MIB // slowest_fs_per_mib
        ):
            raise UnsupportedError(f"{operator.kind} of {operator.output_bytes} B takes longer than 2**62 fs (4,600 s)")
        key = (operator.kind, operator.output_bytes, group, record)
        if key not in self._cells:
            trials = [self._simulate(operator, group, name, record=False) for name in self._algorithms(operator)]
            best = min(trials, key=lambda cell: cell.duration_fs)
            self._cells[key] = self._simulate(operator, group, best.name.split()[1], record) if record else best
        return self._cells[key]

    def _algorithms(self, operator: Operator) -> list[str]:
        if operator.kind == "all_reduce":
            switched = self.parameters.in_switch_reduction == "supported"
            return ["one_shot", "two_shot", "staged"] + (["in_switch"] if switched else [])
        return ["gather"] if operator.kind == "all_gather" else ["push"]

    def _simulate(self, operator: Operator, group: int, algorithm: str, record: bool) -> Cell:
        env = simpy.Environment()
        n_chips = max(group, 2)
        log = ActivityLog(n_chips * LINES_A_RANK, self.first_component, record)
        wire = Wire(env, self.parameters.hop_latency, self.rates, n_chips, log)
        ranks = Ranks(env, self.local, self.staging, wire, algorithm, operator.output_bytes)
        env.run(until=ranks.process)
        duration_fs = -(-int(env.now) // self.local.period_fs) * self.local.period_fs
        log.cut(duration_fs)
        activity = log.activity().of_components(self.first_component, self.first_component + LINES_A_RANK)
        name = f"{operator.kind} {algorithm} {operator.output_bytes} B on {group}"
        egress = activity.component == self.first_component
        counters = {"link_bytes": int(activity.amount[egress].sum())}
        ends = 1 if operator.kind == "send_recv" else 2  # the next stage does not log what it is sent
        energy = {"link": round(self.parameters.energy * 8 / ends)}
        return Cell(
            (operator.kind, operator.output_bytes, group, algorithm),
            name,
            operator.kind,
            duration_fs,
            activity,
            energy,
            counters,
        )
