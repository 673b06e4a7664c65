"""What a scratchpad asks of the memory behind it, and the plainest memory that answers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels.hbm import MIB, READ, WRITE, advance_hbm
from dieshot.kernels.interval import N_OPEN

Rows = NDArray[np.int64]

__all__ = ["READ", "WRITE", "Memory", "RateMemory"]


class Memory(Protocol):
    """A memory that times batches of transfers; state stays with it from batch to batch."""

    def serve(self, requests: Rows) -> Rows:
        """Time transfers (n, 4: arrival in fs, bytes, READ or WRITE, tag), in their order.

        Returns (n) the time in fs at which each is done: a read's last byte is here, a write's last byte is stored.
        """
        ...


class RateMemory:
    """Channels that each move a granule at a fixed rate, and a fixed latency on the way back of reads."""

    def __init__(self, n_channels: int, channel_bytes_per_s: int, latency_fs: int, granule_bytes: int) -> None:
        self.latency_fs = latency_fs
        self.granule_bytes = granule_bytes
        self.fs_per_mib = MIB * 10**15 // channel_bytes_per_s
        self.free_fs = np.zeros(n_channels, np.int64)
        self.regs = np.zeros(3, np.int64)
        self._open = np.zeros((n_channels, N_OPEN), np.int64)

    @property
    def read_bytes(self) -> int:
        """Bytes read so far."""
        return int(self.regs[1])

    @property
    def written_bytes(self) -> int:
        """Bytes written so far."""
        return int(self.regs[2])

    def serve(self, requests: Rows) -> Rows:
        """Time transfers; see Memory."""
        # Writes travel as reads do, so that the loop says when each is done; the counts are put right after.
        as_reads = requests.copy()
        as_reads[:, 2] = READ
        done, log = np.empty((len(requests), 2), np.int64), np.empty((0, 5), np.int64)
        rate = (self.latency_fs, self.granule_bytes, self.fs_per_mib)
        advance_hbm(*rate, 0, as_reads, len(requests), self.free_fs, self.regs, self._open, done, log)
        writes = requests[:, 2] == WRITE
        written_bytes = int(requests[writes, 1].sum())
        self.regs[1] -= written_bytes
        self.regs[2] += written_bytes
        return done[:, 0] - np.where(writes, self.latency_fs, 0)
