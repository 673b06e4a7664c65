"""The key of a run: a digest of all that its result follows from, the same in every process and on every machine."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import itemgetter
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
NAMING = ("system.chip", "system.fabric", "system.cost")  # what they name counts, and not how it is called

_NUMBER = re.compile(r"\s*([*/]?)\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)\s*(.*?)\s*")


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
        self._drawn: dict[tuple[str, str, tuple[str, ...]], tuple[_Context, str]] = {}

    def __call__(self, request: PointRequest) -> bytes:
        """Return 16 bytes: the same for requests that come to the same run, however they are written.

        An option that is left out is taken as what the system or the model has in its place.
        """
        drawn = self._drawn.get((request.system, request.model, request.sets))
        if drawn is None:
            drawn = self._draw(request)
        context, changes = drawn
        written = f"{context.defaults.filled(request)!r}{changes}"
        return hashlib.sha256(context.digest + written.encode()).digest()[:KEY_BYTES]

    def _draw(self, request: PointRequest) -> tuple[_Context, str]:
        """Return the context of a request, and its overrides in their one form."""
        changes = [(change_of(text), text) for text in request.sets]
        decisive = tuple(text for change, text in changes if change.decisive)
        name = request.system, request.model, decisive
        if name not in self._contexts:
            self._contexts[name] = _Context(*name)
        context = self._contexts[name]
        if len(self._drawn) >= KEPT_CHANGES:
            self._drawn.clear()
        drawn = context, repr(context.ordered([change for change, _ in changes]))
        self._drawn[request.system, request.model, request.sets] = drawn
        return drawn


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
        settings = [each for each in changes if not each.scaling and each.place not in NAMING]
        settings.sort(key=itemgetter(0))  # stable: the last one counts
        scalings = [each for each in changes if each.scaling]
        if len(scalings) > 1 and not any(self._is_derived(each.place) for each in scalings):
            scalings.sort(key=itemgetter(0))  # a value that follows from others is scaled as it is then
        return tuple(each[:3] for each in settings + scalings)

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


def change_of(text: str) -> Change:
    """Return the one form of an override; one that cannot be read is as it is written."""
    left, equals, right = text.partition("=")
    place, is_decisive = _place_of(left.strip())
    number = _NUMBER.fullmatch(right) if equals and place else None
    if number is None:
        return Change(place or text, "", right.strip(), is_decisive)
    scaling, digits, unit = number.groups()
    if not digits.isdigit() or digits[0] == "0":
        value = float(digits)
        digits = repr(int(value) if value.is_integer() else value)
    return Change(place, scaling, f"{digits}{_unit(unit)}" if unit else digits, is_decisive)


@functools.lru_cache(maxsize=KEPT_CHANGES)
def _place_of(left: str) -> tuple[str, bool]:
    """Return the target and path of an override's left side, "" where it is none, and whether it is decisive."""
    try:
        override = parse_override(f"{left}=1")
    except InputError:
        return "", False
    is_decisive = override.target == "system" and (override.path in DECISIVE or override.path.startswith(PARTITION))
    return f"{override.target}.{override.path}", is_decisive


@functools.lru_cache(maxsize=KEPT_CHANGES)
def _unit(unit: str) -> str:
    return "" if unit in ("", "1") else f" {normalised(unit)}"


def plain_content(node: Any) -> Any:
    """Return data with whole numbers as int, however they were written."""
    if isinstance(node, Mapping):
        return {key: plain_content(item) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [plain_content(item) for item in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node
