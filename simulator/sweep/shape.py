"""How values are written in a sweep document: a range, factors, numbers with a unit, a parameter's own range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, StrictInt, StrictStr, ValidationError
from pydantic import Field as Named

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.params.quantity import exact
from dieshot.simulator.sweep.level import Continuous, Levels, Number, Scale, Whole, spaced, stepped
from dieshot.simulator.sweep.option import Count, Real, Section, first_problem

OWN = "own"
EXAMPLE = "a value, a list, {from: 1, to: 8} or {from: 1, to: 8, number: 4, scale: log}"
S = TypeVar("S", bound=Section)


class Cut(Section):
    """How a range is cut into values: by a step, or into a number of them."""

    step: Real | None = None
    number: Count | None = None
    scale: Scale = "linear"


class Range(Cut):
    """Values from one end to the other, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    low: Real = Named(alias="from")
    high: Real = Named(alias="to")
    unit: StrictStr | StrictInt | None = None


class Values(Section):
    """Numbers that share a unit."""

    values: list[Any]
    unit: StrictStr | StrictInt


class Factors(Section):
    """Factors of a parameter's own value."""

    factor: Any


class Own(Cut):
    """The range that the parameter's document gives it."""

    range: Literal["own"]


def read(shape: type[S], node: Mapping[str, Any]) -> S:
    """Return a node as one of the shapes; InputError with the key inside it where it is none."""
    try:
        return shape.model_validate(node)
    except ValidationError as failure:
        problem = first_problem(failure)
        keys = sorted(each.alias or name for name, each in shape.model_fields.items())
        expected = problem.expected or f"a mapping with {', '.join(keys)}"
        nearest = problem.nearest or nearest_name(problem.key or "", keys)
        raise InputError(problem.problem, key=problem.key, expected=expected, nearest=nearest) from None


def levels_of(low: Number, high: Number, cut: Cut, drawing: bool, quantum: float | None) -> Levels:
    """Return the values of a range. drawing: points are drawn from it, so that it need not be cut.

    quantum: what values are whole multiples of, None for any. InputError, without place, where it makes no sense.
    """
    _check(low, high, cut)
    if quantum == 1:
        for end in (low, high, cut.step or 1):
            if exact(end).denominator != 1:
                raise InputError("not a whole number", expected="whole numbers", value=end)
        low, high = int(low), int(high)
    if cut.number is not None:
        return spaced(low, high, cut.number, cut.scale, quantum)
    if cut.step is not None:
        return stepped(low, high, cut.step)
    if quantum == 1 and (drawing or cut.scale == "linear"):
        return stepped(low, high, 1) if cut.scale == "linear" else Whole(int(low), int(high), cut.scale)
    if not drawing:
        raise InputError("neither a step nor a number of values", expected="step: or number: beside from and to")
    return Continuous(float(low), float(high), cut.scale, quantum)


def _check(low: Number, high: Number, cut: Cut) -> None:
    if exact(low) > exact(high):
        raise InputError("upside down", expected=f"from at most to, which is {high}", value=low)
    if cut.scale == "log" and low <= 0:
        raise InputError("a log scale from zero or below", expected="from: above 0", value=low)
    if cut.step is not None and (cut.number is not None or cut.scale == "log"):
        other = "a number of values" if cut.number is not None else "a log scale"
        raise InputError(f"a step and {other}", expected="step: alone, or number: and scale:")
