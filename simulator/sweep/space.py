"""Spaces: the points of a sweep by number, each made when it is asked for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.axis import Axis, Setting, Value
from dieshot.simulator.sweep.key import Keys

MOST_POINTS = 10**8
KEPT_SETTINGS = 4096  # of an axis; further ones are made anew each time


class Space(ABC):
    """Points over axes. Nothing is kept of a point: it follows from its number."""

    def __init__(self, axes: Sequence[Axis], n_points: int) -> None:
        if n_points > MOST_POINTS:
            raise InputError(f"{n_points} points", expected=f"at most {MOST_POINTS}")
        self.axes = tuple(axes)
        self.n_points = n_points

    def __len__(self) -> int:
        return self.n_points

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `values`."""
        return tuple(column for axis in self.axes for column in axis.columns)

    @property
    def varied(self) -> tuple[str, ...]:
        """The columns of axes with more than one value."""
        return tuple(column for axis in self.axes if axis.n != 1 for column in axis.columns)

    @property
    def units(self) -> Mapping[str, str]:
        """The units of columns that have one: of a parameter, or "x" for a factor of its own value."""
        return {column: unit for axis in self.axes for column, unit in axis.units.items()}

    @abstractmethod
    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""

    def request(self, index: int) -> PointRequest:
        """Return what to run at a point."""
        return request_of(self.settings(self._known(index)))

    def values(self, index: int) -> dict[str, Value]:
        """Return the columns of a point: numbers in the unit of the axis, or words; None for the system's own."""
        return dict(pair for setting in self.settings(self._known(index)) for pair in setting.row)

    def keys(self) -> Iterator[bytes]:
        """Yield the key of every point, see `Keys`."""
        key_of = Keys()
        for index in range(self.n_points):
            yield key_of(request_of(self.settings(index)))

    def _known(self, index: int) -> int:
        if not 0 <= index < self.n_points:
            raise IndexError(f"point {index} of {self.n_points}")
        return index


class Grid(Space):
    """Every value of every axis with every other, the last axis fastest."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        super().__init__(axes, math.prod(n_of(axis) for axis in axes))
        self._places = [_Kept(axis) for axis in axes]

    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""
        found = []
        for place in reversed(self._places):
            index, level = divmod(index, place.n)
            found.append(place.at(level))
        return tuple(reversed(found))


class Zipped(Space):
    """The first value of every axis, then the second; an axis with one value has it at every point."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        super().__init__(axes, max((n_of(axis) for axis in axes), default=1))
        for axis in axes:
            if axis.n not in (1, self.n_points):
                columns = ", ".join(axis.columns)
                raise InputError(f"{axis.n} values of {columns}", expected=f"{self.n_points} as of the others, or one")
        self._places = [_Kept(axis) for axis in axes]

    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""
        return tuple(place.at(index if place.n > 1 else 0) for place in self._places)


class Listing(Space):
    """Points by their settings."""

    def __init__(self, axes: Sequence[Axis], points: Sequence[tuple[Setting, ...]]) -> None:
        super().__init__(axes, len(points))
        self._points = tuple(points)

    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""
        return self._points[index]


class _Kept:
    """An axis that remembers its settings where they are few."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self.n = n_of(axis)
        self._settings: list[Setting | None] = [None] * self.n if self.n <= KEPT_SETTINGS else []

    def at(self, level: int) -> Setting:
        if not self._settings:
            return self._axis.at(level)
        found = self._settings[level]
        if found is None:
            found = self._settings[level] = self._axis.at(level)
        return found


def n_of(axis: Axis) -> int:
    """Return how many values an axis has; InputError where they cannot be numbered."""
    if axis.n is None:
        raise InputError("neither a step nor a number of values", key=", ".join(axis.columns))
    return axis.n


def request_of(settings: Sequence[Setting]) -> PointRequest:
    """Return the request of a point's settings."""
    fields: dict[str, Any] = {}
    sets: tuple[str, ...] = ()
    for pairs, texts, _ in settings:
        fields.update(pairs)
        sets += texts
    return PointRequest(**fields, sets=sets)
