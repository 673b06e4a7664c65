"""A program's repetitions cut at the ends of its operators: each is in one share or divided, none is there twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dieshot.chips.parts.static.log import cut_program
from dieshot.simulator.engine.cell import BUSY, Activity

PERIOD_FS = 10
MACHINE: Any = SimpleNamespace(period_fs=PERIOD_FS)


def comb(start: int, length: int, amount: int, repeat: int, period: int) -> Activity:
    """One line's repetitions, in cycles."""
    wide = [np.array([value * PERIOD_FS], np.int64) for value in (start, start + length)]
    times = np.array([repeat], np.int64), np.array([period * PERIOD_FS], np.int64)
    return Activity(np.zeros(1, np.int32), *wide, np.full(1, BUSY, np.int8), np.array([amount], np.int64), *times)


@pytest.mark.parametrize(
    "ends",
    [
        [100],
        [37, 100],
        [40, 41, 100],  # a span within a repetition
        [41, 41, 100],  # a span without length within one
        [10, 41, 42, 43, 61, 61, 100],
    ],
)
def test_amounts_and_time_are_those_of_the_whole(ends: list[int]) -> None:
    shares = cut_program(MACHINE, comb(0, 8, 80, 10, 10), ends)
    busy = np.zeros(100 * PERIOD_FS, np.int64)
    amount = begin = 0
    for share, end in zip(shares, ends, strict=True):
        for first, last, each, repeat, period in zip(
            share.start_fs, share.end_fs, share.amount, share.repeat, share.period_fs, strict=True
        ):
            amount += int(each * repeat)
            for turn in range(int(repeat)):
                busy[begin + first + turn * period : begin + last + turn * period] += 1
        begin = end * PERIOD_FS
    assert amount == 800
    assert busy.max() == 1
    assert busy.sum() == 10 * 8 * PERIOD_FS
