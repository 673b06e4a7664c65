"""A launched kernel as the die sees it: CTAs that load tiles, compute on them and store."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.memory.hbm import HbmDesign

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileKernel:
    """One grid of CTAs.

    classes (n, 14) and ctas (n, 4): columns of kernels/sm.py. tile_bytes (tiles): size of every tile that the cache
    directory knows; resident: tiles that are in the L2 when the kernel starts, oldest first. `persistent`: slots walk
    through the CTAs by themselves; otherwise the dispatcher hands them out. `prologue_fs`: what the first CTAs set up
    (descriptors, barriers, code) before their first load. `fj_per_amount`: event energies by component kind.
    """

    name: str
    kind: str
    classes: Rows
    ctas: Rows
    tile_bytes: Rows
    resident: Rows
    n_stages: int
    n_groups: int
    slots_per_sm: int
    persistent: bool
    fj_per_amount: dict[str, int]
    prologue_fs: int = 0
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DieTiming:
    """What the parts of a GPU die need to know, in plain integers (fs, bytes, fs per MiB), and its memory."""

    n_sms: int
    period_fs: int
    send_fs: int
    lookup_fs: int
    respond_fs: int
    ingress_fs_per_mib: int
    l2_capacity_bytes: int
    l2_fs_per_mib: int
    hbm: HbmDesign
    launch_fs: int
    dispatch_fs: int
    dispatch_interval_fs: int
    drain_fs: int

    @property
    def quantum_fs(self) -> int:
        """The longest window in which no part can hear of what another did within it.

        From SM to cache and back a fill on its way may answer a request without a lookup, so the lookup is no
        lookahead.
        """
        return min(self.send_fs + self.respond_fs, self.lookup_fs + self.hbm.least_latency_fs, self.dispatch_fs)
