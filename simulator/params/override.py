"""Overrides: `--set chip.hbm.pin_rate=9.2Gbps`, values set or scaled from outside a document."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.document import Document
from dieshot.simulator.params.evaluation import OVERRIDDEN_WHY, Evaluation
from dieshot.simulator.params.parameter import Parameter, Parameters, collect
from dieshot.simulator.params.quantity import Quantity, exact
from dieshot.simulator.params.schema import LeafSpec, PlainSpec, Schema

Target = Literal["chip", "fabric", "system", "cost"]
TARGETS: tuple[Target, ...] = ("chip", "fabric", "system", "cost")
FABRIC = "fabric"  # alone it is the system's choice of links: fabric=NAME
NAMING = ("chip", FABRIC, "cost")  # of a system: the name of a document, or its path
LONGEST_OVERRIDE = 300

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_EXAMPLES = "chip.hbm.pin_rate=9.2Gbit/s, =*1.2 or =/2"


@dataclass(frozen=True, slots=True)
class Override:
    """One change from outside: set `path` of the `target` document to a value with a unit, or scale it.

    action: 'set' (number and unit, or words in `text`), 'multiply', 'divide' (number). text: the right-hand side.
    """

    target: Target
    path: str
    action: Literal["set", "multiply", "divide"]
    text: str
    number: int | float | None = None
    unit: str | None = None

    def __str__(self) -> str:
        return f"{self.target}.{self.path}={self.text}"

    def refuse(self, problem: str, **parts: Any) -> InputError:
        """Return an error that names this override."""
        return InputError(problem, file="--set", key=f"{self.target}.{self.path}", **parts)


def parse_override(text: str) -> Override:
    """Return an override written as PREFIX.PATH=VALUE; without a prefix the chip is meant. InputError otherwise.

    `fabric=NAME` is short for system.fabric=NAME.
    """
    left, equals, right = (part.strip() for part in text.partition("="))
    if not equals or not right or len(text) > LONGEST_OVERRIDE or not _PATH.fullmatch(left):
        raise InputError("not an override", file="--set", expected=f"PATH=VALUE such as {_EXAMPLES}", value=text)
    prefix, dot, rest = left.partition(".")
    target: Target = next((known for known in TARGETS if dot and known == prefix), "chip")
    if left == FABRIC:
        target = "system"
    path = rest if dot and prefix in TARGETS else left
    if right[0] == "*" or (right[0] == "/" and not (target == "system" and path in NAMING)):
        return _scaling(Override(target, path, "multiply" if right[0] == "*" else "divide", right))
    match = _NUMBER.match(right)
    if match is None:
        return Override(target, path, "set", right)
    return Override(target, path, "set", right, _number(match.group()), right[match.end() :].strip() or None)


def parse_overrides(texts: Iterable[str]) -> tuple[Override, ...]:
    """Return the overrides of a command line, in its order."""
    return tuple(map(parse_override, texts))


def overrides_of(overrides: Iterable[Override], target: Target) -> tuple[Override, ...]:
    """Return those overrides that are meant for one of the documents."""
    return tuple(override for override in overrides if override.target == target)


def _scaling(override: Override) -> Override:
    factor = override.text[1:].strip()
    if not _NUMBER.fullmatch(factor) or not 0 < _number(factor) < math.inf:
        raise override.refuse("not a factor", expected="=*FACTOR or =/FACTOR, greater than zero", value=override.text)
    return replace(override, number=_number(factor))


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,40}", text) else float(text)


def apply_overrides(
    document: Document, schema: type[Schema], overrides: Sequence[Override]
) -> tuple[Document, frozenset[str]]:
    """Return the document with its leaves replaced, and the paths changed: values are set first, then scaled."""
    settings = [override for override in overrides if override.action == "set"]
    scalings = [override for override in overrides if override.action != "set"]
    for override in (*settings, *scalings):
        parameters = collect(document, schema)
        node = _plain_or_leaf(parameters, override)
        data = _replaced(document.data, override.path.split("."), node)
        document = replace(document, data=data, places={**document.places, override.path: ("--set", None)})
    return document, frozenset(override.path for override in overrides)


def _plain_or_leaf(parameters: Parameters, override: Override) -> Any:
    spec = parameters.specs.get(override.path)
    if spec is None:
        nearest = nearest_name(override.path, parameters.specs)
        raise override.refuse(
            f"unknown parameter of {parameters.document.file}",
            expected="a parameter's path" if nearest else listed(parameters.specs),
            nearest=nearest and f"{override.target}.{nearest}",
        )
    try:
        return _plain(spec, override) if isinstance(spec, PlainSpec) else _leaf(parameters, spec, override)
    except InputError as problem:
        raise problem.located(file="--set", key=f"{override.target}.{override.path}") from None


def _plain(spec: PlainSpec, override: Override) -> str | int | bool:
    words: Mapping[str, bool] = {"true": True, "false": False}
    if override.action != "set":
        raise override.refuse("not a number that can be scaled", value=override.text)
    if spec.type is str:
        return override.text
    if spec.type is bool and override.text in words:
        return words[override.text]
    if spec.type is int and isinstance(override.number, int) and override.unit is None:
        return override.number
    raise override.refuse(
        "of the wrong type", expected="a whole number" if spec.type is int else "true or false", value=override.text
    )


def _leaf(parameters: Parameters, spec: LeafSpec, override: Override) -> dict[str, Any]:
    before = parameters.leaves.get(override.path)
    if not isinstance(spec.quantity, Quantity):
        if override.action != "set":
            raise override.refuse("words cannot be scaled", value=override.text)
        return _assumed(override.text, None, before)
    if override.action != "set":
        return _scaled(parameters, spec.quantity, before, override)
    if override.number is None:
        raise override.refuse("not a number", expected=_example(spec.quantity), value=override.text)
    if override.unit is None and not spec.quantity.unitless:
        raise override.refuse("a number without unit", expected=_example(spec.quantity), value=override.text)
    unit = override.unit or "1"
    spec.quantity.convert(override.number, unit)  # refuse here, where the override can be named
    return _assumed(override.number, unit, before)


def _example(quantity: Quantity) -> str:
    return f"{quantity.noun} such as '4{'' if quantity.unitless else quantity.example}'"


def _scaled(parameters: Parameters, quantity: Quantity, before: Parameter | None, override: Override) -> dict[str, Any]:
    if before is None:
        raise override.refuse("nothing to scale: not in the document", expected=_example(quantity))
    is_derived = before.leaf.kind == "derived"
    value = Evaluation(parameters).value(before.path) if is_derived else before.leaf.value
    factor = exact(override.number)
    result = exact(value) * factor if override.action == "multiply" else exact(value) / factor
    number = int(result) if result.denominator == 1 else float(result)
    quantity.convert(number, before.unit)
    return _assumed(number, before.unit, before)


def _assumed(value: int | float | str, unit: str | None, before: Parameter | None) -> dict[str, Any]:
    node: dict[str, Any] = {"value": value} if unit is None else {"value": value, "unit": unit}
    node |= {"kind": "assumed", "why": OVERRIDDEN_WHY}
    if before is None:
        return node
    return node | {"note": f"in place of {before.leaf.value} {before.leaf.unit or ''} ({before.leaf.kind})"}


def _replaced(section: Mapping[str, Any], keys: Sequence[str], node: Any) -> dict[str, Any]:
    first, *rest = keys
    return dict(section) | {first: _replaced(section.get(first) or {}, rest, node) if rest else node}
