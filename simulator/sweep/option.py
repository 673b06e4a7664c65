"""What a sweep document says beside its axes: how points are chosen, what is looked for, what to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, StrictStr, ValidationError
from pydantic import Field as Bounded

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.sweep.level import MOST_LEVELS
from dieshot.simulator.sweep.objective import Constraint, Objective, check_figure

Method = Literal["grid", "list", "random", "latin_hypercube", "search", "sensitivity"]
DRAWING = ("random", "latin_hypercube", "search", "sensitivity")
SAMPLED = ("random", "latin_hypercube", "sensitivity")
# option: the methods that it is for
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "samples": SAMPLED,
    "trials": ("search",),
    "sampler": ("search",),
    "generation": ("search",),
    "analysis": ("sensitivity",),
    "parameters": ("sensitivity",),
    "figures": ("sensitivity",),
}
LARGEST_GENERATION = 1024
Real = StrictInt | StrictFloat
Count = Annotated[StrictInt, Bounded(ge=1, le=MOST_LEVELS)]


class Section(BaseModel):
    """A part of the document with keys of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Aim(Section):
    """`minimize: FIGURE` or `maximize: FIGURE`."""

    minimize: StrictStr | None = None
    maximize: StrictStr | None = None

    @property
    def objective(self) -> Objective:
        """What it says."""
        return Objective(self.minimize or self.maximize or "", self.minimize is None)


class Bound(Section):
    """`{figure: FIGURE, at_most: NUMBER, at_least: NUMBER}`."""

    figure: StrictStr
    at_most: Real | None = None
    at_least: Real | None = None

    @property
    def constraint(self) -> Constraint:
        """What it says."""
        return Constraint(self.figure, self.at_least, self.at_most)


class Plot(Section):
    """What to draw: columns of the rows along the axes, one line for each value of `by`."""

    x: StrictStr
    y: StrictStr
    by: StrictStr | None = None
    kind: Literal["line", "scatter"] = "line"
    x_scale: Literal["linear", "log"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    title: StrictStr | None = None
    x_label: StrictStr | None = None
    y_label: StrictStr | None = None


class Options(Section):
    """All that is not an axis.

    samples: points to draw; of a sensitivity, base samples (sobol) or trajectories (morris). trials: runs of a search,
    `generation` at a time. parameters: `assumed`, or paths. figures: those that a sensitivity is told of.
    """

    name: StrictStr | None = None
    note: StrictStr | None = None
    method: Method = "grid"
    samples: Count | None = None
    trials: Count | None = None
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    generation: Annotated[StrictInt, Bounded(ge=1, le=LARGEST_GENERATION)] = 16
    analysis: Literal["sobol", "morris"] = "sobol"
    parameters: Literal["assumed"] | tuple[StrictStr, ...] | None = None
    figures: tuple[StrictStr, ...] = ()
    objectives: tuple[Aim, ...] = ()
    constraints: tuple[Bound, ...] = ()
    plot: Plot | None = None


def read_options(node: Mapping[str, Any]) -> Options:
    """Return the options; InputError with the key, but no file, where one cannot be."""
    try:
        options = Options.model_validate(node)
    except ValidationError as failure:
        raise first_problem(failure) from None
    for name, methods in ONLY_FOR.items():
        if name in node and options.method not in methods:
            raise InputError(f"of no use to method {options.method}", key=name, expected=f"method: {listed(methods)}")
    for name, methods in (("samples", SAMPLED), ("trials", ("search",)), ("objectives", ("search",))):
        if options.method in methods and not getattr(options, name):
            raise InputError("missing key", key=name, expected=f"{name}: method {options.method} needs it")
    _check_figures(options)
    return options


def _check_figures(options: Options) -> None:
    for index, aim in enumerate(options.objectives):
        if (aim.minimize is None) == (aim.maximize is None):
            raise InputError("not an objective", key=f"objectives[{index}]", expected="minimize: or maximize: FIGURE")
        _check_figure(aim.objective.figure, f"objectives[{index}].{'minimize' if aim.minimize else 'maximize'}")
    for index, bound in enumerate(options.constraints):
        if bound.at_least is None and bound.at_most is None:
            raise InputError("no bound", key=f"constraints[{index}]", expected="at_least: or at_most: NUMBER")
        _check_figure(bound.figure, f"constraints[{index}].figure")
    for index, figure in enumerate(options.figures):
        _check_figure(figure, f"figures[{index}]")


def _check_figure(name: str, key: str) -> None:
    try:
        check_figure(name)
    except InputError as problem:
        raise problem.located(key=key) from None


def first_problem(failure: ValidationError, before: str = "") -> InputError:
    """Return what pydantic found first, with the key as the loader writes it."""
    found = min(failure.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = [part for part in found["loc"] if not _is_alternative(part)]
    key = before
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f"{'.' if key else ''}{part}"
    if found["type"] == "extra_forbidden":
        known = _known_keys(failure.title, location)
        expected, nearest = listed(known) if known else None, nearest_name(str(location[-1]), known)
        return InputError("unknown key", key=key, expected=expected, nearest=nearest)
    if found["type"] == "missing":
        return InputError("missing key", key=key)
    expected = found["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    value = found["input"]
    choices = found.get("ctx", {}).get("expected", "") if isinstance(value, str) else ""
    nearest = nearest_name(value, choices.replace(" or ", ", ").replace("'", "").split(", ")) if choices else None
    return InputError("of the wrong kind", key=key, expected=expected, value=value, nearest=nearest)


def _is_alternative(part: object) -> bool:
    """Return whether a part of pydantic's location names one of several types, and no key."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "str"))


_SECTIONS: dict[str, type[BaseModel]] = {"objectives": Aim, "constraints": Bound, "plot": Plot}


def _known_keys(title: str, location: list[Any]) -> list[str]:
    section = _SECTIONS.get(str(location[0])) if len(location) > 1 else None
    return list((section or Options).model_fields) if section or title == "Options" else []
