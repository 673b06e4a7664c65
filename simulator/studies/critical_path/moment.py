"""What the main parts of a chip did or waited for at every moment of a cell, added up exactly.

A cell's time is divided among what held it: at each moment a main part stands for its share of the time. It works, or
waits for a reason that says itself what it is (link, launch, barrier, credit, refresh). Waiting for memory or operands,
or having nothing to do, is put down to a kind of part that works at that moment: of those the one that is closest to
its peak over the whole cell, as in `limit`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import BUSY, IDLE, STATES, Activity, ComponentSpec
from dieshot.simulator.studies.limit import Kinds, in_order

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

LEAST = 1e-9  # below it is what rounding leaves of sums
MOST_INTERVALS = 2**25


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at, by part: weight of a main one, 0 of all others; column of its kind in `kinds.others`, or -1.

    peak_per_fs, n_parts: by kind.
    """

    specs: Sequence[ComponentSpec]
    kinds: Kinds
    weight: Int64
    kind: Int64
    peak_per_fs: Float64
    n_parts: Int64

    @property
    def n(self) -> int:
        """Weight of all main parts: a cell's time times this is what `held` adds up to."""
        return int(self.weight.sum())


def watch(specs: Sequence[ComponentSpec], kinds: Kinds) -> Watch:
    """Return what to look at for a chip's parts; like main parts that share a line weigh as many as they are."""
    weight = np.array([spec.count if spec.kind == kinds.main else 0 for spec in specs], np.int64)
    weight //= math.gcd(*weight.tolist())
    column = {kind: index for index, kind in enumerate(kinds.others)}
    kind = np.array([column.get(spec.kind, -1) for spec in specs], np.int64)
    peaks = np.array([kinds.peak_per_fs[each] for each in kinds.others])
    return Watch(specs, kinds, weight, kind, peaks, np.bincount(kind[kind >= 0], minlength=len(column)))


class Held(NamedTuple):
    """What a cell's time is put down to (adds up to its time x `Watch.n`), and when each resource was in use (fs).

    in_use: as long as any part of its kinds works, or any part of the chip waits for its reasons; never shorter than
    what is put down to it. waiting: of what is put down, that to reasons of waiting, while nothing worked.
    """

    put_down: dict[str, int]
    in_use_fs: dict[str, int]
    waiting: int


def held(watched: Watch, activity: Activity, duration_fs: int) -> Held:
    """Return what held the main parts in a cell, by the names of resources.

    ValueError where it is too much to be laid out and counted.
    """
    if watched.n * duration_fs >= 2**63:
        raise ValueError(f"a cell of {duration_fs} fs is too long to be divided among {watched.n} parts")
    moments = _Moments(watched, _laid_out(activity), duration_fs)
    weight = watched.weight[moments.rows.component]
    idle = np.full(len(moments.length_fs), watched.n, np.int64)
    for state in np.unique(moments.rows.state[weight > 0]).tolist():
        chosen = (moments.rows.state == state) & (weight > 0)
        count = moments.running(chosen, weight).astype(np.int64)
        idle -= count
        moments.put_down(state, count)
    moments.put_down(IDLE, idle)
    names = watched.kinds.names
    put_down: Counter[str] = Counter()
    in_use: dict[str, NDArray[np.bool_]] = {}
    waiting = 0
    for of, share in moments.found.items():
        whole = int((share * moments.length_fs).sum())
        put_down[names.get(of, of)] += whole
        waiting += whole if of in STATES else 0
    for of, when in moments.in_use():
        name = names.get(of, of)
        in_use[name] = in_use[name] | when if name in in_use else when
    in_use_fs = {name: int(moments.length_fs[when].sum()) for name, when in in_use.items()}
    return Held({name: time for name, time in put_down.items() if time}, in_use_fs, waiting)


def _laid_out(activity: Activity) -> Activity:
    """Return the intervals with every repetition spelt out."""
    if np.all(activity.repeat == 1):
        return activity
    if float(activity.repeat.sum(dtype=np.float64)) > MOST_INTERVALS:
        raise ValueError(f"more than {MOST_INTERVALS:,} intervals in one cell")
    row = np.repeat(np.arange(len(activity)), activity.repeat)
    ends = np.cumsum(activity.repeat)
    shift_fs = (np.arange(len(row)) - np.repeat(ends - activity.repeat, activity.repeat)) * activity.period_fs[row]
    return Activity(
        activity.component[row],
        activity.start_fs[row] + shift_fs,
        activity.end_fs[row] + shift_fs,
        activity.state[row],
        activity.amount[row],
        np.ones(len(row), np.int64),
        activity.period_fs[row],
    )


class _Moments:
    """The stretches of a cell in which nothing begins or ends, and what works in them."""

    def __init__(self, watched: Watch, rows: Activity, duration_fs: int) -> None:
        times, at = np.unique(np.concatenate([[0, duration_fs], rows.start_fs, rows.end_fs]), return_inverse=True)
        self.watched, self.rows = watched, rows
        self.begin, self.end = at[2 : 2 + len(rows)], at[2 + len(rows) :]
        self.length_fs = np.diff(times)
        self.kind = watched.kind[rows.component]
        self.utilization = _utilization(watched, rows, self.kind, duration_fs)
        self._works: dict[str, NDArray[np.bool_]] = {}
        self.found: dict[str, Int64] = {}

    def running(self, chosen: NDArray[np.bool_], amount: NDArray[Any]) -> Float64:
        """Return the sum of the amounts of the chosen intervals at each moment."""
        n, amount = len(self.length_fs) + 1, amount[chosen]
        change = np.bincount(self.begin[chosen], amount, n) - np.bincount(self.end[chosen], amount, n)
        running: Float64 = np.cumsum(change)[:-1]
        return running

    def works(self, kind: str) -> NDArray[np.bool_]:
        """Return at which moments any part of a kind is busy."""
        if kind not in self._works:
            chosen = (self.kind == self.watched.kinds.others.index(kind)) & (self.rows.state == BUSY)
            self._works[kind] = self.running(chosen, np.ones(len(self.rows))) > LEAST
        return self._works[kind]

    def put_down(self, state: int, count: Int64) -> None:
        """Add the main parts that are in a state, moment by moment, to what it is put down to."""
        if state == BUSY:
            self._add(self.watched.kinds.main, count)
            return
        left = count.copy()
        for kind in in_order(self.watched.kinds.candidates(state), self.utilization):
            works = self.works(kind)
            self._add(kind, np.where(works, left, 0))
            left[works] = 0
        if state != IDLE:
            self._add(STATES[state], left)
        elif left.any():
            reason = self._reason()
            for each in np.unique(reason[left > 0]).tolist():
                self._add(STATES[each], np.where(reason == each, left, 0))

    def in_use(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield when each kind of part works and each reason of waiting is there, on any part."""
        state = self.rows.state
        for kind in self.watched.kinds.others:
            yield kind, self.works(kind)
        for each in np.unique(state[state != BUSY]).tolist():
            yield STATES[each], self.running(state == each, np.ones(len(state))) > LEAST
        for of, count in self.found.items():
            yield of, count > 0

    def _add(self, of: str, count: Int64) -> None:
        self.found[of] = self.found[of] + count if of in self.found else count

    def _reason(self) -> Int64:
        """Return at each moment the state that most of the other parts wait in, each kind with its share of parts."""
        share = 1 / np.maximum(self.watched.n_parts, 1)
        waiting = (self.kind >= 0) & (self.rows.state != BUSY)
        waits = np.zeros((len(STATES), len(self.length_fs)))
        for state in np.unique(self.rows.state[waiting]).tolist():
            waits[state] = self.running(waiting & (self.rows.state == state), share[self.kind])
        reason: Int64 = np.where(waits.max(axis=0) > LEAST, waits.argmax(axis=0), IDLE)
        return reason


def _utilization(watched: Watch, rows: Activity, kind: Int64, duration_fs: int) -> dict[str, float]:
    """Return work over peak of every other kind; of kinds without a peak the share of their time that they are busy."""
    busy = (kind >= 0) & (rows.state == BUSY)
    n = len(watched.kinds.others)
    work = np.bincount(kind[busy], rows.amount[busy], n) / np.maximum(watched.peak_per_fs, LEAST)
    time = np.bincount(kind[busy], (rows.end_fs - rows.start_fs)[busy], n) / np.maximum(watched.n_parts, 1)
    share = np.where(watched.peak_per_fs > 0, work, time) / duration_fs
    return dict(zip(watched.kinds.others, share.tolist(), strict=True))
