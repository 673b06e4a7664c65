"""Schemas: frozen dataclasses whose annotations say what a document must hold."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal, Union, dataclass_transform, get_args, get_origin, get_type_hints

from dieshot.simulator.params.quantity import Quantity, Wording

RESERVED_NAMES = frozenset({"value", "unit", "kind", "extends", "sources"})  # these words make a mapping a leaf


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Schema:
    """A section of a document: subclass it and annotate. Subclasses become frozen keyword-only dataclasses.

    A field is a quantity (`Bytes`, `Femtoseconds`, ...), `Text` or `Choice[Literal[...]]` (all written as a leaf with
    its source), another Schema, `dict[str, ...]` of these, or a plain `str`, `int` (at least 1) or `bool`: a name, a
    number of parts, a switch, written without source. `X | None = None` makes it optional. No other default is allowed
    on a leaf: it would be a number without a source. In memory the values are plain numbers in base units.
    """

    def __init_subclass__(cls, *, recording: bool = False) -> None:
        if not recording:
            dataclass(frozen=True, kw_only=True)(cls)


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """A leaf: a number with its quantity, or words with the choices allowed (empty: any)."""

    quantity: Quantity | Wording
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlainSpec:
    """A plain scalar without unit or source: a name, a switch, a number of parts (at least 1)."""

    type: type[str] | type[int] | type[bool]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """A nested schema."""

    schema: type[Schema]


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A mapping from free keys (such as dtypes) to one kind of thing."""

    item: Spec


Spec = LeafSpec | PlainSpec | SectionSpec | MappingSpec


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a schema. `default` is only meaningful where `required` is false."""

    name: str
    spec: Spec
    required: bool
    nullable: bool
    default: Any


def schema_fields(schema: type[Schema]) -> Mapping[str, FieldSpec]:
    """Return the fields of a schema by name; TypeError where the schema itself is badly written."""
    key: Any = schema  # a class is hashable whatever its instances are
    return _described(key)


@functools.cache
def _described(schema: Any) -> Mapping[str, FieldSpec]:
    hints = get_type_hints(schema, include_extras=True)
    described = {}
    for field in fields(schema):
        place = f"{schema.__name__}.{field.name}"
        if field.name in RESERVED_NAMES:
            raise TypeError(f"{place}: a field may not be called {field.name!r}")
        annotation, nullable = _without_none(hints[field.name])
        spec = _spec(annotation, place)
        required = field.default is MISSING
        if not required and field.default is not None and not isinstance(spec, PlainSpec):
            raise TypeError(f"{place}: a default other than None would be a number without a source")
        described[field.name] = FieldSpec(field.name, spec, required, nullable, field.default)
    return described


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    others = [part for part in get_args(annotation) if part is not type(None)]
    if len(others) == 1:
        return others[0], True
    return annotation, False


def _spec(annotation: Any, place: str) -> Spec:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        for mark in marks:
            if isinstance(mark, Quantity | Wording):
                return LeafSpec(mark, _choices(inner))
    if origin is Literal:
        return PlainSpec(str, _choices(annotation))
    if origin in (dict, Mapping):
        key, item = get_args(annotation)
        if key is str:
            return MappingSpec(_spec(item, place))
    if annotation in (str, int, bool):
        return PlainSpec(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Schema):
        return SectionSpec(annotation)
    raise TypeError(f"{place}: cannot be loaded from a document: {annotation!r}")


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()
