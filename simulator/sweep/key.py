"""The key of a run: a digest of all that its result follows from, the same in every process and on every machine."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import Document, find_document, find_path, parse_override
from dieshot.simulator.params.unit import normalised
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.studies.setup import DEFAULT_COSTS
from dieshot.simulator.sweep.code import code_digest
from dieshot.simulator.sweep.defaults import Defaults
from dieshot.traces import load_model_config

KEY_BYTES = 16
KEPT_CHANGES = 1 << 16
# Overrides of the system that decide which documents it draws on, or what is run where a request does not say.
DECISIVE = ("chip", "fabric", "cost", "precision", "kv_precision", "prefill_chunk", "n_chips")
PARTITION = "partition."


class Change(NamedTuple):
    """An override in its one form: `target.path`, whether it is set or scaled, and to what."""

    place: str
    scaling: str
    value: str
    decisive: bool


class Keys:
    """Makes keys of requests; remembers the documents that it has read, so one belongs to one moment."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str, tuple[str, ...]], _Context] = {}

    def __call__(self, request: PointRequest) -> bytes:
        """Return 16 bytes: the same for requests that come to the same run, however they are written.

        An option that is left out is taken as what the system or the model has in its place.
        """
        changes = [(change_of(text), text) for text in request.sets] if request.sets else []
        decisive = tuple(text for change, text in changes if change.decisive)
        context = self._contexts.get((request.system, request.model, decisive))
        if context is None:
            context = _Context(request.system, request.model, decisive)
            self._contexts[request.system, request.model, decisive] = context
        written = repr((context.defaults.filled(request), context.ordered([change for change, _ in changes])))
        return hashlib.sha256(context.digest + written.encode()).digest()[:KEY_BYTES]


class _Context:
    """A system with the overrides that decide what it is, and a model."""

    def __init__(self, system: str, model: str, sets: Sequence[str]) -> None:
        documents = drawn_on(system, sets)
        config = load_model_config(find_path("models", model))
        contents: dict[str, Any] = {kind: plain_content(document.data) for kind, document in documents.items()}
        contents["model"] = plain_content(asdict(config))
        text = json.dumps(contents, sort_keys=True, default=str)
        self.digest = hashlib.sha256(code_digest() + text.encode()).digest()
        self.defaults = Defaults(system, config, sets)
        self._documents = documents

    def ordered(self, changes: list[Change]) -> tuple[tuple[str, str, str], ...]:
        """Return changes in an order of their own; values are set before any is scaled, whatever the order."""
        if not changes:
            return ()
        settings = sorted((each for each in changes if not each.scaling), key=_place)  # stable: the last one counts
        scalings = [each for each in changes if each.scaling]
        if not any(self._is_derived(each.place) for each in scalings):
            scalings.sort(key=_place)  # a value that follows from others is scaled as it is then
        return tuple(each[:3] for each in (*settings, *scalings))

    @functools.cache  # noqa: B019 - lives as long as its Keys
    def _is_derived(self, place: str) -> bool:
        target, _, path = place.partition(".")
        node: Any = self._documents[target].data if target in self._documents else {}
        for part in path.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return isinstance(node, Mapping) and node.get("kind") == "derived"


def drawn_on(system: str, sets: Sequence[str]) -> dict[str, Document]:
    """Return the documents that a system draws on, each merged over what it extends, by the prefix of its overrides.

    `own_fabric`: the links that others stand in for.
    """
    document = find_document("systems", system)
    named = {key: document.data.get(key) for key in ("chip", "fabric", "cost")}
    own = named["fabric"]
    for override in map(parse_override, sets):
        if override.target == "system" and override.path in named:
            named[override.path] = override.text
    found = {"system": document}
    names = {"chip": named["chip"], "fabric": named["fabric"], "cost": named["cost"] or DEFAULT_COSTS}
    for kind, folder in (("chip", "chips"), ("fabric", "links"), ("cost", "costs")):
        if names[kind]:
            found[kind] = find_document(folder, names[kind], beside=document)  # type: ignore[arg-type]
    if own and own != names["fabric"]:
        found["own_fabric"] = find_document("links", own, beside=document)
    return found


@functools.lru_cache(maxsize=KEPT_CHANGES)
def change_of(text: str) -> Change:
    """Return the one form of an override; one that cannot be read is as it is written."""
    try:
        override = parse_override(text)
    except InputError:
        return Change(text, "", "", False)
    place = f"{override.target}.{override.path}"
    is_decisive = override.target == "system" and (override.path in DECISIVE or override.path.startswith(PARTITION))
    if override.number is None:
        return Change(place, "", override.text, is_decisive)
    scaling = "" if override.action == "set" else override.action
    number = override.number
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return Change(place, scaling, f"{number!r}{_unit(override.unit)}", is_decisive)


@functools.cache
def _unit(unit: str | None) -> str:
    return "" if unit in (None, "1") else f" {normalised(str(unit))}"


def _place(change: Change) -> str:
    return change.place


def plain_content(node: Any) -> Any:
    """Return data with whole numbers as int, however they were written."""
    if isinstance(node, Mapping):
        return {key: plain_content(item) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [plain_content(item) for item in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node
