"""Sensitivity: which of several parameters, moving together, move a figure; the samples and indices of SALib."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import parse_override
from dieshot.simulator.studies.run import run
from dieshot.simulator.sweep.axes import Axes
from dieshot.simulator.sweep.axis import Axis, Setting, column_of
from dieshot.simulator.sweep.document import SET, SweepDocument
from dieshot.simulator.sweep.level import BELOW_ONE
from dieshot.simulator.sweep.objective import number_of
from dieshot.simulator.sweep.parameter_axis import asked
from dieshot.simulator.sweep.shape import OWN
from dieshot.simulator.sweep.space import Space, request_of
from dieshot.traces import TraceError

FIGURES = ("time_to_first_token_s", "time_per_output_token_s", "energy_per_token_j")
MORRIS_LEVELS = 4
MOST_VALUES = 10**8  # of the matrix of all points
RESAMPLES = 100
CONFIDENCE = 0.95

Indices = dict[str, dict[str, dict[str, float]]]


class Sensitivity(Space):
    """The points that an analysis asks for: an axis with more than one value is a parameter, uniform over its values.

    sobol: `samples` x (parameters + 2) points, first-order and total indices by A. Saltelli et al., Computer Physics
    Communications 181 (2010) 259. morris: `samples` trajectories of parameters + 1 points, elementary effects by
    M. D. Morris, Technometrics 33 (1991) 161.
    """

    def __init__(self, axes: Sequence[Axis], analysis: str, samples: int, seed: int, figures: Sequence[str]) -> None:
        self._varying = [place for place, axis in enumerate(axes) if axis.n != 1]
        if not self._varying:
            expected = "parameters: paths with a range, or a range of values"
            raise InputError("nothing moves", expected=expected)
        if analysis == "sobol" and samples & (samples - 1):
            below = 1 << (samples.bit_length() - 1)
            raise InputError("not a power of 2", expected=f"as sobol, {below} or {2 * below}", value=samples)
        self._per_block = len(self._varying) + (2 if analysis == "sobol" else 1)
        super().__init__(axes, samples * self._per_block)
        if self.n_points * len(self._varying) > MOST_VALUES:
            raise InputError(f"{self.n_points} points", expected=f"at most {MOST_VALUES // len(self._varying)}")
        self.analysis, self.figures, self._seed = analysis, tuple(figures), seed % 2**32
        self._fixed = [axis.at(0) if axis.n == 1 else None for axis in axes]
        self._shares = self._sample(samples)

    @property
    def parameters(self) -> tuple[str, ...]:
        """What moves, in the order of the axes."""
        return tuple(",".join(self.axes[place].columns) for place in self._varying)

    def settings(self, index: int) -> tuple[Setting, ...]:
        """Return the settings of a point, one for each axis."""
        shares = iter(self._shares[index])
        return tuple(
            axis.drawn(min(float(next(shares)), BELOW_ONE)) if fixed is None else fixed
            for axis, fixed in zip(self.axes, self._fixed, strict=True)
        )

    def indices(self, rows: Sequence[Mapping[str, Any] | None]) -> Indices:
        """Return {figure: {parameter: indices}} from the rows of all points, in their order.

        sobol: S1 and ST with their 95 % intervals S1_conf, ST_conf. morris: mu_star (with mu_star_conf), sigma and mu,
        in the unit of the figure over the whole range of the parameter. Where a run failed, the points that are
        compared with it are left out; a figure of which nothing is left, or that no run has, is not there.
        """
        if len(rows) != self.n_points:
            raise ValueError(f"{len(rows)} rows for {self.n_points} points")
        found: Indices = {}
        for figure in self.figures:
            values = np.array([math.nan if row is None else number_of(row, figure) for row in rows])
            blocks = values.reshape(-1, self._per_block)
            whole = ~np.isnan(blocks).any(axis=1)
            if whole.sum() > 1:
                found[figure] = self._analysed(blocks[whole].reshape(-1), np.repeat(whole, self._per_block))
        return found

    def left_out(self, rows: Sequence[Mapping[str, Any] | None]) -> int:
        """Return how many points take no part, as they are compared with a run that failed."""
        values = [math.nan if row is None else number_of(row, self.figures[0]) for row in rows]
        blocks = np.array(values).reshape(-1, self._per_block)
        return int(np.isnan(blocks).any(axis=1).sum()) * self._per_block

    @property
    def _problem(self) -> dict[str, Any]:
        names = list(self.parameters)
        return {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}

    def _sample(self, samples: int) -> NDArray[np.float64]:
        """Return the shares of all points, for each parameter."""
        from SALib.sample import morris, sobol

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.analysis == "sobol":
                drawn = sobol.sample(self._problem, samples, calc_second_order=False, seed=self._seed)
            else:
                drawn = morris.sample(self._problem, samples, num_levels=MORRIS_LEVELS, seed=self._seed)
        return np.asarray(drawn, dtype=np.float64)

    def _analysed(self, values: NDArray[np.float64], taken: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
        from SALib.analyze import morris, sobol

        resampling = {"num_resamples": RESAMPLES, "conf_level": CONFIDENCE, "seed": self._seed}
        names = ("S1", "S1_conf", "ST", "ST_conf") if self.analysis == "sobol" else _MORRIS
        if np.ptp(values) == 0:
            return {parameter: dict.fromkeys(names, 0.0) for parameter in self.parameters}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if self.analysis == "sobol":
                result = sobol.analyze(self._problem, values, calc_second_order=False, **resampling)
            else:
                points = self._shares[taken]
                result = morris.analyze(self._problem, points, values, num_levels=MORRIS_LEVELS, **resampling)
        return {
            parameter: {name: float(result[name][place]) for name in names}
            for place, parameter in enumerate(self.parameters)
        }


_MORRIS = ("mu_star", "mu_star_conf", "sigma", "mu")


def sensitivity_space(document: SweepDocument, axes: Axes) -> Sensitivity:
    """Return the points of a sensitivity analysis; a first run finds the assumed parameters, where these are meant."""
    options, own = document.options, list(axes.read())
    wanted = options.parameters
    if wanted is None and all(axis.n == 1 for axis in own):
        wanted = "assumed"
    if wanted == "assumed":
        own += _assumed(document, axes, own)
    else:
        for index, path in enumerate(wanted or ()):
            own.append(_own_axis(document, axes, path, f"parameters[{index}]"))
    figures = options.figures or tuple(dict.fromkeys((*FIGURES, *(each.figure for each in document.objectives))))
    assert options.samples is not None
    return Sensitivity(own, options.analysis, options.samples, document.seed, figures)


def _assumed(document: SweepDocument, axes: Axes, own: Sequence[Axis]) -> list[Axis]:
    """Return axes of the assumed parameters that a run at the first values of the others leans on, but for costs."""
    request = request_of([axis.drawn(0.0) if axis.n is None else axis.at(0) for axis in own])
    taken = {column for axis in own for column in axis.columns}
    try:
        summary = run(request.system, request.model, **request.options).summary
    except (InputError, TraceError) as problem:
        document.refuse(InputError(f"the first run is refused: {problem}"), "parameters")
    paths = [
        each["path"]
        for each in summary["assumed_parameters_read"]
        if each["range"] is not None and not each["path"].startswith("cost.")
    ]
    return [_own_axis(document, axes, path, "parameters") for path in paths if path not in taken]


def _own_axis(document: SweepDocument, axes: Axes, path: str, key: str) -> Axis:
    override = asked(document, key, path)
    if f"{SET}.{column_of(override)}" in document.axes:
        document.refuse(InputError(f"{path} is given under {SET} already", expected="each once"), key)
    try:
        return axes.parameters.of(parse_override(f"{path}=*1"), OWN)
    except InputError as problem:
        document.refuse(problem, key)
