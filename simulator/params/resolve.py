"""Resolving: a document and a schema in, plain frozen numbers in base units out, with everything known about them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.params.canonical import canonical_text
from dieshot.simulator.params.catalog import catalog_sources
from dieshot.simulator.params.document import Document
from dieshot.simulator.params.evaluation import OVERRIDDEN_WHY, Evaluation, base_range
from dieshot.simulator.params.override import Override, apply_overrides
from dieshot.simulator.params.parameter import Parameter, Parameters, collect
from dieshot.simulator.params.quantity import Quantity
from dieshot.simulator.params.record import ParameterRecord
from dieshot.simulator.params.schema import (
    FieldSpec,
    LeafSpec,
    PlainSpec,
    Schema,
    SectionSpec,
    Spec,
    schema_fields,
)
from dieshot.simulator.params.source import Source
from dieshot.simulator.params.view import recorded_mapping, recording

S = TypeVar("S", bound=Schema)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A document's parameters after the door.

    values: the schema's instance, plain numbers in base units, frozen; remembers what is read from it. records: one
    for every leaf, in the schema's order. parameters: the leaves of the document, merged and overridden. sources: those
    that its leaves cite. read: the dotted paths of the leaves that were read through `values`.
    """

    schema: type[S]
    values: S
    records: tuple[ParameterRecord, ...]
    parameters: Parameters
    sources: Mapping[str, Source]
    read: set[str] = field(default_factory=set)

    @functools.cached_property
    def text(self) -> str:
        """Canonical YAML of the document as resolved; loaded again, alone, it resolves to the same values."""
        return canonical_text(self.parameters, self.schema, self.sources)

    def record(self, path: str) -> ParameterRecord:
        """Return the record of one parameter; InputError where there is none of that path."""
        for record in self.records:
            if record.path == path:
                return record
        nearest = nearest_name(path, [record.path for record in self.records])
        raise InputError("unknown parameter", file=self.parameters.document.file, key=path, nearest=nearest)

    def assumed_read(self) -> tuple[ParameterRecord, ...]:
        """Return the assumed parameters that were read, directly or through a formula, in the schema's order."""
        return tuple(record for record in self.given_read() if record.kind == "assumed")

    def given_read(self) -> tuple[ParameterRecord, ...]:
        """Return the parameters that were read and do not follow from others, in the schema's order."""
        leaned_on = self._leaned_on()
        return tuple(record for record in self.records if record.kind != "derived" and record.path in leaned_on)

    def _leaned_on(self) -> set[str]:
        inputs = {record.path: record.inputs for record in self.records}
        reached: set[str] = set()
        waiting = list(self.read)
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached.add(path)
                waiting.extend(inputs.get(path, ()))
        return reached


def resolve(document: Document, schema: type[S], overrides: Sequence[Override] = ()) -> Resolved[S]:
    """Return a document's parameters as the schema has them, overrides applied before formulas are computed.

    InputError names file, line and key of the first thing that is wrong.
    """
    document, overridden = apply_overrides(document, schema, overrides)
    parameters = collect(document, schema)
    evaluation = Evaluation(parameters)
    values = evaluation.values()
    sources = _cited(parameters)
    records = tuple(
        _record(parameter, values[path], evaluation, sources, path in overridden)
        for path, parameter in parameters.leaves.items()
    )
    read: set[str] = set()
    instance: S = _Construction(parameters, values, read).section(SectionSpec(schema), document.data, "")
    return Resolved(schema, instance, records, parameters, sources, read)


@dataclass(frozen=True)
class _Construction:
    """Builds the schema's instance from values by path, following the document."""

    parameters: Parameters
    values: Mapping[str, int | float | str]
    read: set[str]

    def section(self, spec: SectionSpec, node: Mapping[str, Any], path: str) -> Any:
        fields = schema_fields(spec.schema)
        values = {name: self._field(described, node, f"{path}{name}") for name, described in fields.items()}
        return recording(spec.schema, values, path, self.read)

    def _field(self, described: FieldSpec, section: Mapping[str, Any], path: str) -> Any:
        node = section.get(described.name)
        if node is None:
            return described.default if described.name not in section else None
        return self._node(described.spec, node, path)

    def _node(self, spec: Spec, node: Any, path: str) -> Any:
        if isinstance(spec, LeafSpec):
            return self.values[path]
        if isinstance(spec, PlainSpec):
            return self.parameters.plains[path]
        if isinstance(spec, SectionSpec):
            return self.section(spec, node, f"{path}.")
        items = {key: self._node(spec.item, item, f"{path}.{key}") for key, item in node.items()}
        return recorded_mapping(items, spec.item, f"{path}.", self.read)


def _cited(parameters: Parameters) -> dict[str, Source]:
    cited: dict[str, Source] = {}
    declared = parameters.document.sources
    for path, parameter in parameters.leaves.items():
        for id in parameter.leaf.source_ids:
            source = declared.get(id) or catalog_sources().get(id)
            if source is None:
                nearest = nearest_name(id, [*declared, *catalog_sources()])
                expected = "an id of configs/sources.yaml or of the document's own sources"
                parameters.refuse(InputError(f"unknown source '{id}'", expected=expected, nearest=nearest), path)
            cited[id] = source
    return cited


def _record(
    parameter: Parameter,
    value: int | float | str,
    evaluation: Evaluation,
    sources: Mapping[str, Source],
    overridden: bool,
) -> ParameterRecord:
    leaf, quantity, ids = parameter.leaf, parameter.spec.quantity, parameter.leaf.source_ids
    return ParameterRecord(
        path=parameter.path,
        value=value,
        unit=quantity.base_unit(parameter.unit) if isinstance(quantity, Quantity) else "",
        written=f"{leaf.value}" if leaf.unit in (None, "1") else f"{leaf.value} {leaf.unit}",
        kind=leaf.kind,
        source=", ".join(ids) or None,
        source_title="; ".join(sources[id].title for id in ids) or None,
        at=leaf.at,
        why=leaf.why,
        range=base_range(parameter),
        formula=str(leaf.value) if leaf.kind == "derived" else None,
        inputs=evaluation.inputs.get(parameter.path, ()),
        data=leaf.data,
        residual=None if leaf.residual is None else str(leaf.residual),
        note=leaf.note,
        overridden=overridden or leaf.why == OVERRIDDEN_WHY,  # also when read back from a run's own text
    )
