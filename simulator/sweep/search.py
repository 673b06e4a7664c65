"""A search: which points to run next, given what came of those before; the trials of optuna.

Trials come in generations of one size, each asked for when all before it are told, so that neither engine nor number of
workers has a bearing on them. Nothing is stored: a search that goes on asks the same questions again, from the same
seed, and is told what the store has.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.axes import Axes
from dieshot.simulator.sweep.axis import Axis, Setting
from dieshot.simulator.sweep.document import SweepDocument
from dieshot.simulator.sweep.level import BELOW_ONE, Continuous, Listed, Whole
from dieshot.simulator.sweep.objective import Constraint, Objective
from dieshot.simulator.sweep.space import Listing

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

EXCESS = "excess"  # what a trial's constraints are kept as


class Search:
    """Ask for a generation, run it, tell its rows; until there is none."""

    def __init__(self, document: SweepDocument) -> None:
        self.axes = Axes(document).read()
        if all(axis.n == 1 for axis in self.axes):
            document.refuse(InputError("nothing to search", expected="a list or a range of values"), "method")
        assert document.options.trials is not None
        self.n_points = document.options.trials
        self._generation = document.options.generation
        self._objectives, self._constraints = document.objectives, document.constraints
        self._open: list[Trial] = []
        self._n_asked = 0
        with _quiet():
            self._study = _study(document)

    @property
    def units(self) -> Mapping[str, str]:
        """The units of columns, as of `Space`."""
        return {column: unit for axis in self.axes for column, unit in axis.units.items()}

    def ask(self) -> Listing | None:
        """Return the points of the next generation; None where all trials are told."""
        if self._open:
            raise RuntimeError("a generation is to be told before the next is asked for")
        n = min(self._generation, self.n_points - self._n_asked)
        if n == 0:
            return None
        with _quiet():
            self._open = [self._study.ask() for _ in range(n)]
            points = [tuple(_suggested(trial, axis) for axis in self.axes) for trial in self._open]
        self._n_asked += n
        return Listing(self.axes, points)

    def tell(self, rows: Sequence[Mapping[str, Any] | None]) -> None:
        """Take the rows of the generation, in the order of its points; None, or no figures, for a run that failed."""
        from optuna.trial import TrialState

        if len(rows) != len(self._open):
            raise ValueError(f"{len(rows)} rows for {len(self._open)} points")
        with _quiet():
            for trial, row in zip(self._open, rows, strict=True):
                costs = None if row is None else _costs(row, self._objectives, self._constraints)
                if costs is None:
                    self._study.tell(trial, state=TrialState.FAIL)
                else:
                    trial.set_user_attr(EXCESS, costs[1])
                    self._study.tell(trial, costs[0])
        self._open = []


def _costs(
    row: Mapping[str, Any], objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> tuple[list[float], list[float]] | None:
    """Return what is to be small, and by how much bounds are exceeded; None where a figure is missing."""
    costs = [objective.cost(row) for objective in objectives]
    excess = [constraint.excess(row) for constraint in constraints]
    return None if any(value != value for value in costs + excess) else (costs, excess)


def _study(document: SweepDocument) -> Study:
    import optuna

    return optuna.create_study(directions=["minimize"] * len(document.objectives), sampler=_sampler(document))


def _sampler(document: SweepDocument) -> BaseSampler:
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    seed = document.seed % 2**32  # as wide as optuna's
    bounds = _excess if document.constraints else None
    match document.options.sampler:
        case "tpe":
            return TPESampler(seed=seed, constant_liar=True, constraints_func=bounds)
        case "nsga2":
            size = max(2, document.options.generation)
            return NSGAIISampler(seed=seed, population_size=size, constraints_func=bounds)
        case _:
            return RandomSampler(seed=seed)


def _excess(trial: FrozenTrial) -> Sequence[float]:
    found: list[float] = trial.user_attrs[EXCESS]
    return found


def _suggested(trial: Trial, axis: Axis) -> Setting:
    """Return the setting of an axis that a trial suggests; numbers are ordered, words are not."""
    levels, name = axis.levels, ",".join(axis.columns)
    if levels.n == 1:
        return axis.at(0)
    if isinstance(levels, Continuous):
        return axis.drawn(min(trial.suggest_float(name, 0.0, 1.0), BELOW_ONE))
    if isinstance(levels, Whole):
        logarithmic = levels.scale == "log"
        return axis.at(trial.suggest_int(name, levels.first, levels.last, log=logarithmic) - levels.first)
    assert levels.n is not None
    if isinstance(levels, Listed) and not _is_ordered(axis):
        return axis.at(trial.suggest_categorical(name, list(range(levels.n))))
    return axis.at(trial.suggest_int(name, 0, levels.n - 1))


def _is_ordered(axis: Axis) -> bool:
    """Return whether the values of an axis are numbers that rise."""
    rows = [axis.at(index).row for index in range(axis.n or 0)]
    values = [row[0][1] for row in rows if len(row) == 1]
    if len(values) != len(rows) or any(type(value) not in (int, float) for value in values):
        return False
    return all(low < high for low, high in pairwise(values))  # type: ignore[operator]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what optuna says of its progress and of what is new in it."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
