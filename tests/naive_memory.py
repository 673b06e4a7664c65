"""Memories behind a scratchpad in plain Python: a bare rate, and DRAM with every channel simulated by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dieshot.chips.parts.memory.dram_channel import DramChannels
from dieshot.kernels.transfer import ADDRESS, N_ROWS, PITCH_BYTES, REQUESTER, ROW_BYTES, START_FS, WRITE


class RateMemory:
    """One transfer after the other, at so many fs a byte."""

    def __init__(self, fs_per_byte: int, latency_fs: int = 0) -> None:
        self.fs_per_byte = fs_per_byte
        self.latency_fs = latency_fs
        self.free_fs = 0
        self.moves: list[tuple[int, int, int, int]] = []  # address, bytes, written, requester

    @property
    def read_bytes(self) -> int:
        return sum(n for _, n, written, _ in self.moves if not written)

    @property
    def written_bytes(self) -> int:
        return sum(n for _, n, written, _ in self.moves if written)

    def serve(self, transfers: Any) -> Any:
        done = []
        for each in transfers.tolist():
            for row in range(each[N_ROWS]):
                at = each[ADDRESS] + row * each[PITCH_BYTES]
                self.moves.append((at, each[ROW_BYTES], each[WRITE], each[REQUESTER]))
            n = each[N_ROWS] * each[ROW_BYTES]
            self.free_fs = max(self.free_fs, each[START_FS]) + n * self.fs_per_byte
            done.append(self.free_fs + self.latency_fs)
        return np.array(done, np.int64)


class NaiveDram:
    """Channels one by one, each with all of its own bursts in the order in which they arrive."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        n_channels = memory.policy.n_channels
        alone = replace(memory.policy, n_channels=1, offers_per_tick=memory.policy.offers_per_tick // n_channels)
        self.channels = [DramChannels(memory.parameters, alone) for _ in range(memory.policy.n_channels)]
        self.link_free_fs: dict[tuple[int, int], int] = {}

    def serve(self, transfers: Any) -> Any:
        parameters, network = self.memory.parameters, self.memory.network
        burst, bus = parameters.geometry.burst, parameters.bus.ticks_per_cycle
        tCK = parameters.timings.tCK
        bursts: list[tuple[int, int, int, int, int, int, int]] = []
        for number, each in enumerate(transfers.tolist()):
            for row in range(each[N_ROWS]):
                first = each[ADDRESS] + row * each[PITCH_BYTES]
                touched = sorted({byte // burst * burst for byte in range(first, first + each[ROW_BYTES])})
                for address in touched:
                    channel, bank, dram_row = (int(a[0]) for a in self.memory.map.decode(np.array([address])))
                    link = (each[REQUESTER], channel)
                    start = max(each[START_FS], self.link_free_fs.get(link, 0))
                    self.link_free_fs[link] = start + network.burst_fs(burst)
                    tick = -(-(start + network.latency_fs) * bus // tCK)
                    bursts.append((tick, len(bursts), channel, bank, dram_row, each[WRITE], number))
        bursts.sort()
        done = [0] * len(transfers)
        for channel, dram in enumerate(self.channels):
            mine = [each for each in bursts if each[2] == channel]
            if mine:
                tick, bank, dram_row, write = (np.array([each[i] for each in mine]) for i in (0, 3, 4, 5))
                finished = dram.serve_decoded(np.zeros(len(mine), np.int64), bank, dram_row, tick, write).finished
                for each, end in zip(mine, finished.tolist(), strict=True):
                    done[each[6]] = max(done[each[6]], -(-end * tCK // bus) + network.latency_fs)
        return np.array(done, np.int64)
