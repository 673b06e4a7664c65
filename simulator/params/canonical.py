"""Canonical text: a resolved document written again, in its schema's order, each leaf on a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dieshot.simulator.params.leaf import Leaf
from dieshot.simulator.params.parameter import Parameters
from dieshot.simulator.params.schema import LeafSpec, MappingSpec, PlainSpec, Schema, SectionSpec, Spec, schema_fields
from dieshot.simulator.params.source import Source, source_node
from dieshot.simulator.params.yaml_text import yaml_text


def canonical_text(parameters: Parameters, schema: type[Schema], sources: Mapping[str, Source]) -> str:
    """Return YAML that resolves to the same values by itself: merged, overridden, with the sources that it cites."""
    data = _section(parameters, SectionSpec(schema), parameters.document.data, "")
    cited = {id: source_node(source) for id, source in sources.items()}
    return yaml_text(data | {"sources": cited} if cited else data)


def _section(parameters: Parameters, spec: SectionSpec, node: Mapping[str, Any], path: str) -> dict[str, Any]:
    fields = schema_fields(spec.schema)
    present = [field for name, field in fields.items() if name in node]
    return {field.name: _node(parameters, field.spec, node[field.name], f"{path}{field.name}") for field in present}


def _node(parameters: Parameters, spec: Spec, node: Any, path: str) -> Any:
    if node is None or isinstance(spec, PlainSpec):
        return node
    if isinstance(spec, LeafSpec):
        return _leaf(parameters.leaves[path].leaf)
    if isinstance(spec, MappingSpec):
        return {key: _node(parameters, spec.item, item, f"{path}.{key}") for key, item in node.items()}
    return _section(parameters, spec, node, f"{path}.")


def _leaf(leaf: Leaf) -> dict[str, Any]:
    return leaf.model_dump(exclude_none=True)
