"""Cutting a region's activity at the ends of its operators, so that each has a cell of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import Activity


def cut(activity: Activity, ends_fs: Sequence[int]) -> list[Activity]:
    """Return the activity of each span between ends (the first begins at 0), times counted from the span's begin.

    Ends do not decrease, and nothing may happen after the last; intervals must not repeat (`repeat` 1). An interval
    that crosses ends is divided in proportion to time, so that the amounts of its parts add up to its own exactly.
    ValueError where an interval repeats or lies outside. A span without length is empty.
    """
    if np.any(activity.repeat != 1):
        raise ValueError("intervals that repeat cannot be cut")
    bounds = [0, *ends_fs]
    if np.any(np.diff(bounds) < 0):
        raise ValueError(f"ends that decrease: {list(ends_fs)}")
    if len(activity) and (int(activity.end_fs.max()) > bounds[-1] or int(activity.start_fs.min()) < 0):
        raise ValueError(f"activity outside of 0 to {bounds[-1]} fs")
    return [_between(activity, begin, end) for begin, end in pairwise(bounds)]


def _between(activity: Activity, begin_fs: int, end_fs: int) -> Activity:
    whole = activity.where((activity.start_fs < end_fs) & (activity.end_fs > begin_fs))
    amount = _amount_until(whole, end_fs) - _amount_until(whole, begin_fs)
    start_fs = np.maximum(whole.start_fs, begin_fs) - begin_fs
    stop_fs = np.minimum(whole.end_fs, end_fs) - begin_fs
    return Activity(whole.component, start_fs, stop_fs, whole.state, amount, whole.repeat, whole.period_fs)


def _amount_until(activity: Activity, time_fs: int) -> NDArray[np.int64]:
    """Return the part of each interval's amount done until a time: exact at both ends, rounded down between."""
    length_fs = np.maximum(activity.end_fs - activity.start_fs, 1)
    done_fs = np.clip(time_fs - activity.start_fs, 0, length_fs)
    # Not amount * done / length: the product of two large counts could overflow.
    each, rest = np.divmod(activity.amount, length_fs)
    part = each * done_fs + (rest.astype(np.float64) * done_fs / length_fs).astype(np.int64)
    return np.where(done_fs == length_fs, activity.amount, part)
