"""What the catalog holds: names by kind, and every parameter of one document."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import (
    CatalogKind,
    CostParameters,
    Document,
    LinkParameters,
    MemoryParameters,
    Resolved,
    Schema,
    SystemParameters,
    find_document,
    find_path,
    resolve,
)
from dieshot.simulator.params import list_names as names_of_kind
from dieshot.simulator.params.catalog import shown_path
from dieshot.simulator.params.document import parse_document, read_text
from dieshot.simulator.params.parameter import Parameter
from dieshot.simulator.params.yaml_text import parse_yaml
from dieshot.simulator.studies.setup import architecture_of
from dieshot.traces import load_model_config

KINDS: tuple[CatalogKind, ...] = ("chips", "systems", "links", "models", "memories", "costs", "sweeps")
# The key by which a document that is given as a file shows its kind.
TELLING_KEYS: dict[CatalogKind, str] = {
    "chips": "architecture",
    "systems": "chip",
    "links": "topology",
    "memories": "geometry",
    "costs": "pue",
}


def list_names(kind: str) -> list[str]:
    """Return the names of the catalog's "systems", "chips", "models", "links", "memories", "costs" or "sweeps"."""
    for known in KINDS:
        if kind == known:
            return names_of_kind(known)
    raise InputError(f"unknown kind '{kind}'", expected=listed(KINDS), nearest=nearest_name(kind, KINDS))


def describe(name: str) -> dict[str, Any]:
    """Return {kind, name, file, parameters} of a chip, system, link, model, memory, cost or sweep document.

    name: of the catalog, or a file. Where kinds share a name the first of `KINDS` is meant, and `also` names the
    others: "systems/h100-sxm" is one. InputError with the nearest name of any kind where nothing has that name.
    """
    kind, _, rest = name.partition("/")
    if kind in KINDS:
        found: list[CatalogKind] = [each for each in KINDS if each == kind and rest in names_of_kind(each)]
        name = rest if found else name
    else:
        found = [each for each in KINDS if name in names_of_kind(each)]
    if not found:
        return _describe_file(name)
    record = _DESCRIBED[found[0]](name)
    also = ", ".join(f"{each}/{name}" for each in found[1:])
    return record | ({"also": also} if also else {})


def _describe_file(name: str) -> dict[str, Any]:
    if not Path(name).is_file():
        every = [each for kind in KINDS for each in names_of_kind(kind)]
        nearest = nearest_name(name.rpartition("/")[2], every)
        raise InputError(f"nothing is called '{name}'", expected="a name of `dieshot list` or a file", nearest=nearest)
    if name.endswith(".json"):
        return _model(name)
    path = name if "/" in name else f"./{name}"
    if {"system", "model"} <= parse_yaml(read_text(Path(path), path), path, path_keys=True)[0].keys():
        return _sweep(path)
    document, extends = parse_document(read_text(Path(path), path), name, path)
    told = [kind for kind, key in TELLING_KEYS.items() if key in document.data]
    if told:
        return _DESCRIBED[told[0]](path)
    problems = []
    for kind in TELLING_KEYS if extends else ():
        try:
            return _DESCRIBED[kind](path)
        except InputError as problem:  # what it extends is of another kind
            problems.append(problem)
    if problems:
        raise problems[0]
    expected = ", or ".join(f"{key} ({kind})" for kind, key in TELLING_KEYS.items())
    raise InputError("neither chip, system, link, memory nor costs", file=name, expected=f"a key {expected}")


def _chip(name: str) -> dict[str, Any]:
    document = find_document("chips", name)
    architecture = architecture_of(document)
    resolved = resolve(document, architecture.Parameters)
    return _record("chip", name, document, resolved) | dict(architecture.described(resolved.values))


def _system(name: str) -> dict[str, Any]:
    document = find_document("systems", name)
    return _record("system", name, document, resolve(document, SystemParameters))


def _link(name: str) -> dict[str, Any]:
    document = find_document("links", name)
    return _record("link", name, document, resolve(document, LinkParameters))


def _memory(name: str) -> dict[str, Any]:
    document = find_document("memories", name)
    schema: type[Schema] = MemoryParameters
    if TELLING_KEYS["memories"] not in document.data:
        schema = importlib.import_module("dieshot.chips.parameters.sram").SramParameters
    return _record("memory", name, document, resolve(document, schema))


def _record(kind: str, name: str, document: Document, resolved: Resolved[Any]) -> dict[str, Any]:
    plain = [{"path": path, "value": value, "unit": "1"} for path, value in resolved.parameters.plains.items()]
    parameters = plain + [
        asdict(record) | ({"written_range": _range(resolved.parameters.leaves[record.path])} if record.range else {})
        for record in resolved.records
    ]
    return {"kind": kind, "name": name, "file": document.file, "parameters": parameters}


def _range(parameter: Parameter) -> str:
    low, high = parameter.leaf.range or (None, None)
    return f"{low} to {high}" + ("" if parameter.unit == "1" else f" {parameter.unit}")


def _model(name: str) -> dict[str, Any]:
    path = find_path("models", name if "/" in name or not name.endswith(".json") else f"./{name}")
    model = load_model_config(path)
    parameters = [
        {"path": field.name, "value": getattr(model, field.name), "unit": "1", "source": "config.json"}
        for field in fields(model)
        if field.name != "name"
    ]
    parameters += [
        {"path": key, "value": getattr(model, key), "unit": "1", "kind": "derived", "note": note}
        for key, note in (
            ("n_parameters", "with norms, biases and embeddings; tied weights count once"),
            ("n_active_parameters", "that one token passes"),
        )
    ]
    cache_bytes = model.kv_bytes_per_token("bf16")
    note = "KV cache in bf16, all layers"
    parameters.append(
        {"path": "kv_cache_per_token", "value": cache_bytes, "unit": "B", "kind": "derived", "note": note}
    )
    return {"kind": "model", "name": model.name, "file": shown_path(path), "parameters": parameters}


def _cost(name: str) -> dict[str, Any]:
    document = find_document("costs", name)
    return _record("cost", name, document, resolve(document, CostParameters))


def _sweep(name: str) -> dict[str, Any]:
    path = find_path("sweeps", name)
    shown = shown_path(path)
    data, lines = parse_yaml(read_text(path, shown), shown, path_keys=True)
    parameters = [
        {"path": key, "value": value if isinstance(value, str | int | float) else json.dumps(value), "unit": "1",
         "note": f"line {lines[key]}"} for key, value in data.items()
    ]  # fmt: skip
    return {"kind": "sweep", "name": path.stem, "file": shown, "parameters": parameters}


_DESCRIBED: dict[CatalogKind, Callable[[str], dict[str, Any]]] = {
    "chips": _chip,
    "systems": _system,
    "links": _link,
    "models": _model,
    "memories": _memory,
    "costs": _cost,
    "sweeps": _sweep,
}
