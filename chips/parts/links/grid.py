"""Chips in a grid, each joined to the next one along every axis; an axis may close into a ring."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters

AXES = "xyz"
WAYS = "+-"
SMALLEST_RING = 3  # two chips have one link between them, whichever way one looks


@dataclass(frozen=True)
class Grid:
    """Chips numbered along the last axis first; `closed` says of which axes the last chip is joined to the first."""

    sides: tuple[int, ...]
    closed: tuple[bool, ...]

    @property
    def n_chips(self) -> int:
        """Chips in all."""
        return math.prod(self.sides)

    @property
    def active(self) -> tuple[int, ...]:
        """The axes along which there is more than one chip, those with most chips first."""
        return tuple(sorted((a for a, side in enumerate(self.sides) if side > 1), key=lambda a: -self.sides[a]))

    @property
    def topology(self) -> str:
        """Sides and closed axes in words, such as '2x4 (y closed)'."""
        rings = "".join(AXES[axis] for axis, closed in enumerate(self.closed) if closed)
        return "x".join(map(str, self.sides)) + (f" ({rings} closed)" if rings else "")

    @property
    def lane_names(self) -> tuple[str, ...]:
        """Axis and direction."""
        return tuple(f"{AXES[axis]}{way}" for axis in range(len(self.sides)) for way in WAYS)

    @cached_property
    def lanes(self) -> dict[tuple[int, int], int]:
        """The lane (2 * axis, one more downwards) of every directed link (from, to)."""
        found = {}
        for axis, closed in enumerate(self.closed):
            for line in self.lines(axis):
                following = zip(line, line[1:] + line[:1] if closed else line[1:], strict=False)
                for a, b in following:
                    found[a, b], found[b, a] = 2 * axis, 2 * axis + 1
        return found

    def lines(self, axis: int) -> list[tuple[int, ...]]:
        """Return the chips that lie in line along an axis, for every such line."""
        side, stride = self.sides[axis], math.prod(self.sides[axis + 1 :])
        starts = (chip for chip in range(self.n_chips) if chip // stride % side == 0)
        return [tuple(start + place * stride for place in range(side)) for start in starts]

    def cycle(self) -> tuple[int, ...] | None:
        """Return the chips as a ring through the whole grid passes them, over links; None where there is none.

        A grid is seen as rows (one axis) of columns (a path to and fro through all others): along the first row, then
        back through the others column by column, up and down.
        """
        if len(self.active) < 2:
            return None
        for axis in self.active:
            rows, path = self.sides[axis], self._path_without(axis)
            stride = math.prod(self.sides[axis + 1 :])
            if len(path) % 2 == 0 or rows == 2:
                back = [
                    chip + row * stride
                    for i, chip in enumerate(reversed(path))
                    for row in (range(1, rows) if i % 2 == 0 else range(rows - 1, 0, -1))
                ]
                return (*path, *back)
        return None

    def _path_without(self, axis: int) -> list[int]:
        path = [0]
        for other, side in enumerate(self.sides):
            if other != axis:
                stride = math.prod(self.sides[other + 1 :])
                turns = [range(side) if i % 2 == 0 else range(side - 1, -1, -1) for i in range(len(path))]
                path = [chip + place * stride for chip, places in zip(path, turns, strict=True) for place in places]
        return path

    def part(self, n_chips: int) -> Grid | None:
        """Return the most compact part of this grid with so many chips; None where no box of it has them.

        An axis of the part is closed only where the part takes the whole of a closed axis.
        """
        parts = [
            Grid(sides, tuple(c and own == side for c, own, side in zip(self.closed, sides, self.sides, strict=True)))
            for sides in boxes(n_chips, self.sides)
        ]
        return min(parts, key=lambda part: (sum(part.sides), -sum(part.closed), part.sides), default=None)


def boxes(n_chips: int, largest: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the sides of all boxes of `n_chips` in a larger one."""
    divisors = [side for side in range(1, n_chips + 1) if n_chips % side == 0]
    for sides in itertools.product(*([side for side in divisors if side <= most] for most in largest)):
        if math.prod(sides) == n_chips:
            yield sides


def grid_of(parameters: LinkParameters, n_chips: int) -> Grid:
    """Return the grid in which `n_chips` are joined by these links; InputError where they cannot be.

    The most compact box that fits the largest is taken; its sides that are multiples of `wrap_side` close into rings.
    """
    largest = _sides(parameters)
    wrap = parameters.wrap_side
    if parameters.topology != "mesh" and (wrap is None or wrap < SMALLEST_RING):
        raise _problem(parameters, "wrap_side", wrap, f"chips of an axis that closes, at least {SMALLEST_RING}")
    if n_chips > parameters.max_chips:
        raise _problem(parameters, "n_chips", n_chips, f"at most {parameters.max_chips} chips")
    closing = wrap if wrap and parameters.topology != "mesh" else n_chips + 1
    found = min(boxes(n_chips, largest), key=lambda sides: (sum(sides), sides), default=None)
    if found is None:
        raise _problem(parameters, "n_chips", n_chips, f"as many as a box in {parameters.shape} holds")
    return Grid(found, tuple(side % closing == 0 for side in found))


def _sides(parameters: LinkParameters) -> tuple[int, ...]:
    shape = parameters.shape or ""
    if not re.fullmatch(r"\d{1,5}(x\d{1,5}){0,2}", shape):
        raise _problem(parameters, "shape", parameters.shape, "the largest grid, such as 16x16 or 4x4x8")
    sides = tuple(map(int, shape.split("x")))
    if min(sides) < 1 or (parameters.topology == "ring" and len(sides) > 1):
        raise _problem(parameters, "shape", shape, "one side of at least 1 for a ring, up to three for a torus")
    if parameters.n_links % (2 * len(sides)):
        raise _problem(parameters, "n_links", parameters.n_links, f"a multiple of {2 * len(sides)}: links both ways")
    return sides


def _problem(parameters: LinkParameters, key: str, value: object, expected: str) -> InputError:
    return InputError(f"the links {parameters.name} cannot be joined so", key=key, value=value, expected=expected)
