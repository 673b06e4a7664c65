"""Evaluation: every leaf of a document in base units, written ones converted and derived ones computed."""

from __future__ import annotations

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.formula import Scalar, evaluate, formula_names, parse_formula
from dieshot.simulator.params.leaf import Leaf
from dieshot.simulator.params.parameter import Parameter, Parameters, expectation
from dieshot.simulator.params.quantity import Quantity, exact

OVERRIDDEN_WHY = "set on the command line"


class Evaluation:
    """The values of a document's leaves in base units: written ones converted, derived ones computed on demand."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._values: dict[str, int | float | str] = {}
        self._open: list[str] = []
        self.inputs: dict[str, tuple[str, ...]] = {}

    def values(self) -> dict[str, int | float | str]:
        """Return the value of every leaf by path; InputError at the first that cannot be had."""
        return {path: self.value(path) for path in self._parameters.leaves}

    def value(self, path: str) -> int | float | str:
        """Return the value of one leaf in base units."""
        if path not in self._values:
            parameter = self._parameters.leaves[path]
            try:
                self._values[path] = self._fresh(parameter)
            except InputError as problem:
                self._parameters.refuse(problem, path)
        return self._values[path]

    def _fresh(self, parameter: Parameter) -> int | float | str:
        quantity = parameter.spec.quantity
        if not isinstance(quantity, Quantity):
            return _words(parameter)
        if parameter.leaf.unit is None:
            raise InputError("unit is missing", expected=f"{quantity.noun} with a unit such as '{quantity.example}'")
        if parameter.leaf.kind == "derived":
            return self._derived(parameter, quantity)
        value = quantity.convert(parameter.leaf.value, parameter.unit)
        _check_range(parameter.leaf)
        return value

    def _derived(self, parameter: Parameter, quantity: Quantity) -> int | float:
        base = quantity.base_unit(parameter.unit)
        if parameter.unit != base:
            raise InputError("a formula works in base units", expected=f"unit: {base}", value=parameter.unit)
        if parameter.path in self._open:
            circle = " -> ".join([*self._open[self._open.index(parameter.path) :], parameter.path])
            raise InputError(f"formulas in a circle: {circle}", expected="a formula that ends in written values")
        text = str(parameter.leaf.value)
        self._open.append(parameter.path)
        try:
            tree = parse_formula(text)
            paths = {name: self._find(name, parameter.path) for name in formula_names(tree)}
            self.inputs[parameter.path] = tuple(paths.values())
            result = evaluate(tree, lambda name: self._number(paths[name]))
        finally:
            self._open.pop()
        return quantity.checked(exact(result), f"{text} = {result}")

    def _find(self, name: str, path: str) -> str:
        section = path
        while (
            section
        ):  # the nearest enclosing section that has the name, so that a section may be a document of its own
            section = section.rpartition(".")[0]
            candidate = f"{section}.{name}" if section else name
            if candidate in self._parameters.leaves:
                return candidate
        nearest = nearest_name(name, self._parameters.leaves)
        raise InputError(f"unknown parameter '{name}' in the formula", expected="a parameter's path", nearest=nearest)

    def _number(self, path: str) -> Scalar:
        value = self.value(path)
        if isinstance(value, str):
            raise InputError(f"'{path}' is words", expected="numbers in a formula", value=value)
        return value


def _words(parameter: Parameter) -> str:
    value = parameter.leaf.value
    if not isinstance(value, str):
        raise InputError("not words", expected=expectation(parameter.spec), value=value)
    choices = parameter.spec.choices
    if choices and value not in choices:
        nearest = nearest_name(value, choices)
        raise InputError("unknown choice", expected=listed(choices), value=value, nearest=nearest)
    if parameter.leaf.kind == "derived":
        raise InputError("words cannot be derived", expected="another kind", value="derived")
    if parameter.leaf.range is not None or parameter.unit != "1":
        raise InputError("words with a unit or a range", expected="neither")
    return value


def _check_range(leaf: Leaf) -> None:
    if leaf.range is None:
        if leaf.kind == "assumed" and leaf.why != OVERRIDDEN_WHY:
            raise InputError("range is missing", expected="range: [low, high]: an assumption must say how wide it is")
        return
    low, high = (exact(bound) for bound in leaf.range)
    if low > high:
        raise InputError("range upside down", expected="range: [low, high]", value=f"[{low}, {high}]")
    if not low <= exact(leaf.value) <= high:
        expected = f"a value within its range [{leaf.range[0]}, {leaf.range[1]}]"
        raise InputError("outside its own range", expected=expected, value=leaf.value)


def base_range(parameter: Parameter) -> tuple[float, float] | None:
    """Return a leaf's range in base units, or None where it has none."""
    quantity, bounds = parameter.spec.quantity, parameter.leaf.range
    if bounds is None or not isinstance(quantity, Quantity):
        return None
    low, high = (float(exact(bound) * quantity.scale(parameter.unit)) for bound in bounds)
    return low, high
