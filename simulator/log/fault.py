"""What can be wrong with activities and placements, said in a few words: on what is written and what is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import IDLE, STATES, Activity
from dieshot.simulator.log.expand import Int64

# Beyond this, sums of times would leave 64 bits.
LATEST_FS = 2.0**62


def activity_fault(activity: Activity, n_components: int, duration_fs: int) -> str | None:
    """Return what breaks the contract of an activity in a cell that lasts `duration_fs`, or None."""
    if len(activity) == 0:
        return None
    length_fs = activity.end_fs - activity.start_fs
    repeated = activity.repeat > 1
    last_end_fs = activity.end_fs.astype(np.float64) + (activity.repeat - 1.0) * activity.period_fs
    faults = {
        "a component that does not exist": (activity.component < 0) | (activity.component >= n_components),
        "a state that does not exist": (activity.state <= IDLE) | (activity.state >= len(STATES)),
        "a start before the cell's": activity.start_fs < 0,
        "an end before its start": length_fs < 0,
        "an amount below zero": activity.amount < 0,
        "fewer than one repetition": activity.repeat < 1,
        "repetitions that overlap": repeated & (activity.period_fs < np.maximum(length_fs, 1)),
        "an end after the cell's": (last_end_fs > LATEST_FS) | _ends_after(activity, duration_fs, last_end_fs),
    }
    return _first(faults, "interval")


def _ends_after(activity: Activity, duration_fs: int, last_end_fs: NDArray[np.float64]) -> NDArray[np.bool_]:
    # Exact only where it cannot overflow; the others are refused by the rough figure.
    safe = last_end_fs <= LATEST_FS
    exact = np.where(safe, activity.end_fs + (activity.repeat - 1) * activity.period_fs, 0)
    late: NDArray[np.bool_] = exact > duration_fs
    return late


def placement_fault(columns: Mapping[str, Int64], cell_duration_fs: Int64, n_stages: int) -> str | None:
    """Return what is wrong with placements (columns of `schema.PLACEMENTS`), or None."""
    cell, repeat, stride_fs = columns["cell"], columns["repeat"], columns["stride_fs"]
    exists = (cell >= 0) & (cell < len(cell_duration_fs))
    duration_fs = np.append(cell_duration_fs, 0)[np.where(exists, cell, len(cell_duration_fs))]
    last_fs = columns["start_fs"] + (repeat - 1.0) * stride_fs + duration_fs
    faults = {
        "a cell that is not recorded": ~exists,
        "a stage that is not recorded": (columns["stage"] < 0) | (columns["stage"] >= n_stages),
        "a start before the run's": columns["start_fs"] < 0,
        "fewer than one copy": repeat < 1,
        "copies that overlap": (repeat > 1) & (stride_fs < duration_fs),
        "an end beyond 2**62 fs": last_fs > LATEST_FS,
        "an operator below -1": columns["operator"] < -1,
    }
    return _first(faults, "placement")


def _first(faults: Mapping[str, NDArray[np.bool_]], row_name: str) -> str | None:
    for fault, rows in faults.items():
        if rows.any():
            return f"{row_name} {int(np.flatnonzero(rows)[0])} has {fault}"
    return None
