"""Drawn points: at random, or one in every slice of every axis (a Latin hypercube)."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.axis import Axis, Setting
from dieshot.simulator.sweep.level import BELOW_ONE
from dieshot.simulator.sweep.space import Space

BLOCK_POINTS = 4096
BLOCKS_KEPT = 4
MOST_SLICES = 10**7  # of a Latin hypercube, whose slices are in memory
SHUFFLING = 2**63  # block number of what a Latin hypercube is shuffled by


class Drawn(Space):
    """Points whose place on every axis is a share in [0, 1), drawn in blocks: a point follows from seed and number."""

    def __init__(self, axes: Sequence[Axis], n_points: int, seed: int) -> None:
        super().__init__(axes, n_points)
        self._seed = seed
        self._shares = functools.lru_cache(maxsize=BLOCKS_KEPT)(self._block)
        self._fixed = [axis.at(0) if axis.n == 1 else None for axis in axes]

    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""
        block, row = divmod(index, BLOCK_POINTS)
        shares = self._shares(block)[row]
        return tuple(
            axis.drawn(share) if fixed is None else fixed
            for axis, fixed, share in zip(self.axes, self._fixed, shares, strict=True)
        )

    @abstractmethod
    def _block(self, block: int) -> list[list[float]]:
        """Return the shares of a block's points, for each axis."""


class Random(Drawn):
    """Points drawn one independent of the other."""

    def _block(self, block: int) -> list[list[float]]:
        found: list[list[float]] = shares(self._seed, block, BLOCK_POINTS, len(self.axes)).tolist()
        return found


class LatinHypercube(Drawn):
    """As many equal slices of every axis as there are points, and in each slice one point.

    M. D. McKay, R. J. Beckman and W. J. Conover, Technometrics 21 (1979) 239: the slices of the axes are paired at
    random, and the point lies anywhere in its slice.
    """

    def __init__(self, axes: Sequence[Axis], n_points: int, seed: int) -> None:
        if n_points > MOST_SLICES:
            raise InputError(f"{n_points} points", expected=f"at most {MOST_SLICES} of a Latin hypercube")
        super().__init__(axes, n_points, seed)

    @functools.cached_property
    def _slices(self) -> list[NDArray[np.int64]]:
        """The slice of every point, for each axis that has more than one value."""
        return [
            np.argsort(shares(self._seed, SHUFFLING + place, self.n_points, 1)[:, 0], kind="stable")
            if axis.n != 1
            else np.zeros(self.n_points, np.int64)
            for place, axis in enumerate(self.axes)
        ]

    def _block(self, block: int) -> list[list[float]]:
        within = shares(self._seed, block, BLOCK_POINTS, len(self.axes))
        points = slice(block * BLOCK_POINTS, (block + 1) * BLOCK_POINTS)
        picked = np.stack([slices[points] for slices in self._slices], axis=1)
        drawn = (picked + within[: len(picked)]) / self.n_points
        found: list[list[float]] = np.minimum(drawn, BELOW_ONE).tolist()
        return found


def shares(seed: int, block: int, n: int, n_axes: int) -> NDArray[np.float64]:
    """Return (n, n_axes) numbers in [0, 1), the same with every version of numpy: Philox, its bits as they come."""
    key = np.array([seed % 2**64, block], dtype=np.uint64)
    raw = np.random.Philox(key=key).random_raw(n * n_axes)
    drawn: NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn.reshape(n, n_axes)
