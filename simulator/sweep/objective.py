"""What a sweep is after: figures to minimise or maximise, and bounds that a run has to keep."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.sweep.row import COST, FIGURES

# Figures by kind of part or by state, see row.figures_of.
BY_KIND = re.compile(r"utilization_\w+|stall_\w+|energy_(?!per_)\w+_j|bound_\w+_s|busy|idle")
EXAMPLES = "a figure such as time_per_output_token_s, tokens_per_s_user or energy_per_token_j"


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure, and whether less of it or more is better."""

    figure: str
    maximize: bool = False

    def cost(self, row: Mapping[str, Any]) -> float:
        """Return what is to be as small as can be; NaN where a run has no such figure."""
        value = number_of(row, self.figure)
        return -value if self.maximize else value

    def __str__(self) -> str:
        return f"{'max' if self.maximize else 'min'}:{self.figure}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A figure within bounds."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def excess(self, row: Mapping[str, Any]) -> float:
        """Return by how much a row is out of bounds, 0 or less where it is not; NaN where it has no such figure."""
        value = number_of(row, self.figure)
        above = -math.inf if self.at_most is None else value - self.at_most
        below = -math.inf if self.at_least is None else self.at_least - value
        return value if math.isnan(value) else max(above, below)


def is_feasible(row: Mapping[str, Any], constraints: Sequence[Constraint]) -> bool:
    """Return whether a row keeps all bounds."""
    return all(constraint.excess(row) <= 0 for constraint in constraints)


def number_of(row: Mapping[str, Any], figure: str) -> float:
    """Return a figure of a row as a number; NaN where there is none."""
    value = row.get(figure)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def check_figure(name: str) -> None:
    """Raise InputError, without place, where no row has a figure of that name."""
    if name in (*FIGURES, COST) or BY_KIND.fullmatch(name):
        return
    raise InputError(f"unknown figure '{name}'", expected=EXAMPLES, nearest=nearest_name(name, (*FIGURES, COST)))


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Return objectives written as "min:energy_per_token_j,max:tokens_per_s_user"; InputError otherwise."""
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        way, colon, figure = (each.strip() for each in part.partition(":"))
        if not colon or way not in ("min", "max"):
            raise InputError("not an objective", expected="min:FIGURE or max:FIGURE, with commas between", value=part)
        check_figure(figure)
        found.append(Objective(figure, way == "max"))
    if not found:
        raise InputError("no objective", expected="min:FIGURE or max:FIGURE, with commas between", value=text)
    return tuple(found)
