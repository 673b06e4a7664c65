"""What links between chips did, as the lines of one chip: when the busiest chip's were busy, and the mean bytes.

In a torus all chips act alike. In a mesh those at the border send less; so that a line times the chips is what all
links carried, every line tells the time of the chip that sends most that way, and the mean bytes of all chips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dieshot.chips.parts.activity import Rows
from dieshot.kernels.collective import MIB
from dieshot.simulator.engine.cell import BUSY, STALL_LAUNCH, STALL_LINK, Activity

Interval = tuple[int, int, int, int]  # start fs, end fs, state, bytes


@dataclass(frozen=True, slots=True)
class Carried:
    """Bytes that a chip had ready for one of its links (lane) at `begin_fs`."""

    chip: int
    lane: int
    begin_fs: int
    bytes: int


class LaneActivity:
    """Lines of one chip, one for each lane, from what `n_chips` sent; the mean is over `n_alike` of them."""

    def __init__(self, carried: Sequence[Carried], n_chips: int, n_alike: int, n_lanes: int, fs_per_mib: int) -> None:
        self._carried = carried
        self._fs_per_mib = fs_per_mib
        self.sent_bytes: Rows = np.zeros((n_lanes, n_chips), np.int64)
        for each in carried:
            self.sent_bytes[each.lane, each.chip] += each.bytes
        self.mean_bytes = [-(-int(total) // n_alike) for total in self.sent_bytes.sum(axis=1)]

    def busy(self, lane: int, chip: int) -> list[tuple[int, int, int]]:
        """Return start, end (fs) and bytes of what a chip's link carried: first come first served."""
        free_fs, found = 0, []
        own = (each for each in self._carried if each.lane == lane and each.chip == chip)
        for each in sorted(own, key=lambda each: each.begin_fs):
            start_fs = max(each.begin_fs, free_fs)
            free_fs = start_fs + each.bytes // MIB * self._fs_per_mib + each.bytes % MIB * self._fs_per_mib // MIB
            found.append((start_fs, free_fs, each.bytes))
        return found

    def activity(self, first_component: int, launch_fs: int, record: bool) -> Activity:
        """Return the intervals of the lines: launch, busy, and between what is sent a wait for what comes."""
        rows: list[tuple[int, ...]] = []
        for lane, sent in enumerate(self.sent_bytes if record else ()):
            if sent.any():
                intervals = _joined(self.busy(lane, int(sent.argmax())), launch_fs)
                rows += [(first_component + lane, *each) for each in _scaled(intervals, self.mean_bytes[lane])]
        if not rows:
            return Activity.empty()
        table = np.array(rows, np.int64)
        component, start, end, state, amount = (np.ascontiguousarray(column) for column in table.T)
        ones = np.ones(len(rows), np.int64)
        return Activity(
            component.astype(np.int32), start, end, state.astype(np.int8), amount, ones, np.zeros_like(ones)
        )


def _joined(busy: Sequence[tuple[int, int, int]], launch_fs: int) -> list[Interval]:
    found: list[Interval] = [(0, launch_fs, STALL_LAUNCH, 0)] if launch_fs else []
    at_fs = launch_fs
    for start_fs, end_fs, bytes_ in busy:
        if start_fs > at_fs:
            found.append((at_fs, start_fs, STALL_LINK, 0))
        elif found and found[-1][2] == BUSY:
            first_fs, _, _, before = found.pop()
            start_fs, bytes_ = first_fs, before + bytes_
        if end_fs > start_fs or bytes_:
            found.append((start_fs, end_fs, BUSY, bytes_))
        at_fs = end_fs
    return found


def _scaled(intervals: Sequence[Interval], mean_bytes: int) -> list[Interval]:
    """Return the intervals with amounts in the same proportions that sum to `mean_bytes`."""
    whole, so_far, found = sum(each[3] for each in intervals), 0, []
    for start_fs, end_fs, state, bytes_ in intervals:
        before, so_far = so_far, so_far + bytes_
        found.append((start_fs, end_fs, state, so_far * mean_bytes // whole - before * mean_bytes // whole))
    return found
