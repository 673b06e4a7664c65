"""Parameters as a sweep document writes them: values, factors, ranges, their own range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import Override, parse_override
from dieshot.simulator.sweep.axis import FACTOR, Axis, ParameterAxis, Written, column_of
from dieshot.simulator.sweep.document import SET, SweepDocument
from dieshot.simulator.sweep.field_axis import FieldReader
from dieshot.simulator.sweep.level import listed_levels
from dieshot.simulator.sweep.option import DRAWING
from dieshot.simulator.sweep.shape import EXAMPLE, OWN, Factors, Own, Range, Values, levels_of, read
from dieshot.simulator.sweep.systems import NAMED, Systems

MOST_CHECKED = 64  # of the values of one parameter, each against every system


class ParameterReader:
    """Makes axes of parameters, checked against all systems of the sweep."""

    def __init__(self, document: SweepDocument, fields: FieldReader, systems: Systems) -> None:
        self._document = document
        self._fields = fields
        self._systems = systems
        self._drawing = document.method in DRAWING

    def axis(self, key: str, node: Any) -> ParameterAxis:
        """Return the axis of a parameter over what is written for it."""
        override = asked(self._document, key, key.removeprefix(f"{SET}."))
        try:
            return self.of(override, node)
        except InputError as problem:
            inside = f"{key}.{problem.key}" if problem.key and problem.file is None else key
            self._document.refuse(problem, inside)

    def of(self, override: Override, node: Any) -> ParameterAxis:
        """Return the axis of a parameter over what is written for it; InputError, without place, otherwise."""
        axis = self._axis(override, column_of(override), node)
        self.check(axis)
        return axis

    def written(self, override: Override, values: Sequence[Any], unit: str = "") -> tuple[list[Written], str]:
        """Return values of a parameter as row and command line have them, and the unit that they share."""
        column = column_of(override)
        kind = NAMED.get(column)
        placed = [self._fields.placed(kind, each) if kind and isinstance(each, str) else each for each in values]
        texts = [_text(each, unit) for each in placed]
        if not self._systems.is_numeric(override):
            return [Written(_word(value, text), text) for value, text in zip(values, texts, strict=True)], ""
        parsed = [None if text is None else parse_override(f"{column}={text}") for text in texts]
        kinds = {(each.action == "set", each.unit) for each in parsed if each}
        if any(each and each.number is None for each in parsed) or not kinds:
            return [Written(text, text) for text in texts], ""
        if len(kinds) > 1:
            raise InputError("values of different kinds", expected="the same unit for all, or factors only")
        (is_set, shared), *_ = kinds
        written = [
            Written(None if each is None else _number(each), text) for each, text in zip(parsed, texts, strict=True)
        ]
        return written, _shown(shared) if is_set else FACTOR

    def check(self, axis: Axis) -> None:
        """Raise InputError where a system cannot have a value of the axis, whatever else it has."""
        n = axis.n
        if n is None:
            settings = [axis.drawn(0.0)]
        elif n <= MOST_CHECKED:
            settings = [axis.at(index) for index in range(n)]
        else:
            settings = [axis.at(0), axis.at(n - 1)]
        texts = dict.fromkeys(text for setting in settings for text in setting.sets)
        self._systems.check([parse_override(text) for text in texts])

    def _axis(self, override: Override, column: str, node: Any) -> ParameterAxis:
        if node == OWN:
            return self._range_axis(override, column, Own(range="own"))
        if not isinstance(node, dict):
            written, unit = self.written(override, node if isinstance(node, list) else [node])
            return ParameterAxis(column, listed_levels(written), unit)
        if "factor" in node:
            return self._factor_axis(override, column, read(Factors, node).factor)
        if "values" in node:
            shape = read(Values, node)
            written, unit = self.written(override, shape.values, str(shape.unit))
            return ParameterAxis(column, listed_levels(written), unit)
        return self._range_axis(override, column, read(Own, node) if "range" in node else read(Range, node))

    def _range_axis(self, override: Override, column: str, shape: Range | Own) -> ParameterAxis:
        if isinstance(shape, Own):
            leaf = self._systems.own_range(override)
            assert leaf.range is not None
            (low, high), unit = leaf.range, _shown(leaf.unit)
            quantum = self._systems.quantum(override, unit)
            if quantum == 1:
                low, high = math.ceil(low), math.floor(high)
        else:
            low, high, unit = shape.low, shape.high, _shown(shape.unit)
            quantum = self._systems.quantum(override, unit)
        return ParameterAxis(column, levels_of(low, high, shape, self._drawing, quantum), unit)

    def _factor_axis(self, override: Override, column: str, node: Any) -> ParameterAxis:
        if not isinstance(node, dict):
            factors = [_checked_factor(value) for value in (node if isinstance(node, list) else [node])]
            return ParameterAxis(column, listed_levels(factors), FACTOR)
        range = read(Range, node)
        if range.unit is not None:
            raise InputError("a factor has no unit", key="factor.unit")
        _checked_factor(range.low)
        is_computed = range.number is not None or (self._drawing and range.step is None)
        quantum = self._systems.factor_quantum(override) if is_computed else None
        return ParameterAxis(column, levels_of(range.low, range.high, range, self._drawing, quantum), FACTOR)


def asked(document: SweepDocument, key: str, path: str) -> Override:
    """Return an override of a path that changes nothing, to ask about it."""
    try:
        return parse_override(f"{path}=*1")
    except InputError:
        expected = "a parameter's path such as chip.hbm.pin_rate"
        document.refuse(InputError("not a parameter", expected=expected, value=path), key)


def _shown(unit: object) -> str:
    return "" if unit in (None, 1, "1") else str(unit)


def _text(value: Any, unit: str) -> str | None:
    """Return the right-hand side of an override; None for no change."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value!r}{_shown(unit)}"
    if not isinstance(value, str) or not value or unit:
        raise InputError("not a value", expected="a number, as the unit is given" if unit else EXAMPLE, value=value)
    return value


def _word(value: Any, text: str | None) -> str | bool | None:
    return value if isinstance(value, bool) else text


def _number(override: Override) -> int | float:
    assert override.number is not None
    return 1 / override.number if override.action == "divide" else override.number


def _checked_factor(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError("not a factor", expected="a number above 0", value=value)
    return value
