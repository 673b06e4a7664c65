"""The parameters of a document: its leaves and plain values, found by walking a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.document import Document
from dieshot.simulator.params.leaf import Leaf, read_leaf
from dieshot.simulator.params.quantity import Quantity
from dieshot.simulator.params.schema import (
    FieldSpec,
    LeafSpec,
    MappingSpec,
    PlainSpec,
    Schema,
    SectionSpec,
    Spec,
    schema_fields,
)
from dieshot.simulator.params.yaml_text import is_leaf


@dataclass(frozen=True, slots=True)
class Parameter:
    """A leaf of a document and what its schema says it must be."""

    path: str
    leaf: Leaf
    spec: LeafSpec

    @property
    def unit(self) -> str:
        """The unit as written; '1' for words, which have none."""
        return self.leaf.unit or "1"


@dataclass(frozen=True)
class Parameters:
    """All leaves and plain values of a document by dotted path, in the schema's order, and what it allows."""

    document: Document
    leaves: dict[str, Parameter] = field(default_factory=dict)
    plains: dict[str, Any] = field(default_factory=dict)
    specs: dict[str, LeafSpec | PlainSpec] = field(default_factory=dict)

    def refuse(self, problem: InputError, path: str) -> NoReturn:
        """Raise a problem with its place in the document."""
        raise self.document.error(problem, path.removesuffix(".")) from None


def collect(document: Document, schema: type[Schema]) -> Parameters:
    """Return the parameters of a document; InputError at the first unknown, missing or malformed key."""
    parameters = Parameters(document)
    _section(parameters, SectionSpec(schema), document.data, "")
    return parameters


def _section(found: Parameters, spec: SectionSpec, node: Any, path: str) -> None:
    if not isinstance(node, Mapping) or is_leaf(node):
        value = None if isinstance(node, Mapping) else node
        expected = f"a section with {listed(schema_fields(spec.schema))}"
        found.refuse(InputError("not a section", expected=expected, value=value), path)
    fields = schema_fields(spec.schema)
    for key in node:
        if key not in fields:
            problem = InputError("unknown key", expected=listed(fields), nearest=nearest_name(key, fields))
            found.refuse(problem, f"{path}{key}")
    for name, described in fields.items():
        _field(found, described, node, f"{path}{name}")


def _field(found: Parameters, described: FieldSpec, section: Mapping[str, Any], path: str) -> None:
    if isinstance(described.spec, LeafSpec | PlainSpec):
        found.specs[path] = described.spec
    node = section.get(described.name)
    if node is not None:
        _node(found, described.spec, node, path)
    elif described.name in section and not described.nullable:
        found.refuse(InputError("empty", expected=expectation(described.spec), value=None), path)
    elif described.name not in section and described.required:
        found.refuse(InputError("missing key", expected=expectation(described.spec)), path)


def _node(found: Parameters, spec: Spec, node: Any, path: str) -> None:
    if isinstance(spec, SectionSpec):
        _section(found, spec, node, f"{path}.")
    elif isinstance(spec, MappingSpec):
        _mapping(found, spec, node, path)
    elif isinstance(spec, PlainSpec):
        found.plains[path] = _plain(found, spec, node, path)
    else:
        try:
            found.leaves[path] = Parameter(path, read_leaf(node), spec)
        except InputError as problem:
            found.refuse(problem, path)
        found.specs[path] = spec


def _mapping(found: Parameters, spec: MappingSpec, node: Any, path: str) -> None:
    if not isinstance(node, Mapping) or is_leaf(node):
        found.refuse(InputError("not a mapping", expected=f"name: {expectation(spec.item)}"), path)
    for key, item in node.items():
        _node(found, spec.item, item, f"{path}.{key}")


def _plain(found: Parameters, spec: PlainSpec, node: Any, path: str) -> Any:
    if type(node) is not spec.type:
        found.refuse(InputError("of the wrong type", expected=expectation(spec), value=node), path)
    if isinstance(node, int) and spec.type is int and node < 1:
        found.refuse(InputError("too small", expected=expectation(spec), value=node), path)
    if spec.choices and node not in spec.choices:
        nearest = nearest_name(str(node), spec.choices)
        found.refuse(InputError("unknown choice", expected=listed(spec.choices), value=node, nearest=nearest), path)
    return node


_PLAIN_NOUNS: dict[type, str] = {str: "a word", int: "a whole number of at least 1", bool: "true or false"}


def expectation(spec: Spec) -> str:
    """Return what a schema expects at a place, in words."""
    if isinstance(spec, SectionSpec):
        return f"a section with {listed(schema_fields(spec.schema))}"
    if isinstance(spec, MappingSpec):
        return f"a mapping of names to {expectation(spec.item)}"
    if isinstance(spec, PlainSpec):
        return listed(spec.choices) if spec.choices else _PLAIN_NOUNS[spec.type]
    if isinstance(spec.quantity, Quantity):
        return f"{spec.quantity.noun}: a mapping with value, unit, kind"
    return f"{listed(spec.choices) if spec.choices else 'text'}: a mapping with value, kind"
