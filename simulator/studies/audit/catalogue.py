"""What is known about the subjects of claims: facts with sources, models, the meaning of metrics, rules."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import configs_folder, list_names
from dieshot.simulator.params.catalog import shown_path
from dieshot.simulator.params.document import read_text
from dieshot.simulator.params.formula import evaluate, parse_formula
from dieshot.simulator.params.leaf import read_leaf
from dieshot.simulator.params.yaml_text import parse_yaml
from dieshot.traces import load_model_config

ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure of a subject, in the unit that its name ends in; `text` where it is words."""

    name: str
    value: float
    text: str
    kind: str
    sources: tuple[str, ...]
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What claims are about. group: subjects whose claims are about one thing. systems: ours by number of chips.

    sets: overrides of their runs. model: the only one that they run, if there is only one. links: ours of the kind.
    members: the subjects that a generic one stands for, itself where none are named.
    """

    name: str
    group: str
    facts: Mapping[str, Fact]
    systems: Mapping[int, str] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    model: str = ""
    links: tuple[str, ...] = ()
    members: tuple[str, ...] = ()

    def number(self, name: str) -> float | None:
        """Return a fact's value; None where it is not known."""
        return self.facts[name].value if name in self.facts else None

    def most(self, name: str) -> float | None:
        """Return a fact's value, the upper end of its range where it is assumed: what favours a claim most."""
        fact = self.facts.get(name)
        if fact is None:
            return None
        return fact.range[1] if fact.kind == ASSUMED and fact.range else fact.value

    def words(self, name: str) -> str:
        """Return a fact that is words; "" where it is not known."""
        return self.facts[name].text if name in self.facts else ""

    def sources(self, *names: str) -> tuple[str, ...]:
        """Return the sources of facts, each once; an assumption has none."""
        known = (source for name in names if name in self.facts for source in self.facts[name].sources)
        return tuple(dict.fromkeys(known))


@dataclass(frozen=True, slots=True)
class ClaimedModel:
    """A model as claims name it. family: models alike enough to be compared. config: the name of ours, or None."""

    name: str
    family: str
    config: str | None
    n_parameters: float
    n_active: float
    n_layers: int
    kv_bytes_per_token: float

    def weight_bytes(self, bits: float) -> float:
        """Return the bytes of all parameters at so many bits each."""
        return self.n_parameters * bits / 8

    def active_bytes(self, bits: float) -> float:
        """Return the bytes of the parameters that one token passes."""
        return self.n_active * bits / 8


@dataclass(frozen=True, slots=True)
class Ratio:
    """What a ratio metric compares: claims of the metrics `of`, or a fact; inverse where less is better."""

    against: str
    of: tuple[str, ...] = ()
    fact: str | None = None
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """What a claim's metric means.

    units: what one of each unit is in the metric's own. rate: whom a rate of tokens counts: user, system, chip or
    unstated. quantity: claims of one quantity are compared. readings: factors on a fact, and how a figure that is off
    by one came about. run: the figure of a run that is of the same kind. stored: peaks of our own chip that are, and
    what one of their units is in the metric's (`scale`). unchecked: why nothing can be checked.
    """

    name: str
    units: Mapping[str, float]
    quantity: str
    rate: str | None = None
    fact: str | None = None
    tolerance: float = 1.1
    ratio: Ratio | None = None
    readings: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    run: str | None = None
    stored: tuple[str, ...] = ()
    scale: float = 1.0
    compared: bool = True
    unchecked: str | None = None

    @property
    def unit(self) -> str:
        """The metric's own unit."""
        return next(unit for unit, factor in self.units.items() if factor == 1)


@dataclass(frozen=True, slots=True)
class Rule:
    """Arithmetic that a claim has to stand: `left` (the claim itself by default) against a formula.

    compare: equals, at_most, at_least. given: other claims that the formula names. fails: what a claim that does not
    stand it is: above, contradicts or reading (then `under` says which). passes: confirmed, plausible, or measured,
    which is confirmed where the facts are measurements.
    subjects, families: those that the rule is for, all where none are named; chips: the fact with their number. when: a
    formula that must be above 0.
    """

    name: str
    metrics: tuple[str, ...]
    formula: str
    compare: str
    says: str
    left: str = "claim"
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    chips: str | None = None
    when: str | None = None
    tolerance: float = 1.1
    fails: str = "contradicts"
    passes: str = "plausible"
    bound: str | None = None
    under: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that claims are held against, but for the claims themselves."""

    subjects: Mapping[str, Subject]
    models: Mapping[str, ClaimedModel]
    metrics: Mapping[str, Metric]
    rules: tuple[Rule, ...]
    constants: Mapping[str, Fact]
    wordings: Mapping[str, tuple[float, float]]

    def subject(self, name: str) -> Subject:
        """Return a subject; one without facts where it is not known."""
        return self.subjects.get(name) or Subject(name, name, {})

    @property
    def units(self) -> dict[str, Mapping[str, float]]:
        """The units of every metric."""
        return {name: metric.units for name, metric in self.metrics.items()}


def claims_folder() -> Path:
    """Return the folder of the package's claims."""
    return configs_folder() / "claims"


@functools.cache
def load_catalogue() -> Catalogue:
    """Return the package's catalogue; InputError where a document of it is malformed."""
    known, words, rules = (_document(name) for name in ("subjects.yaml", "metrics.yaml", "rules.yaml"))
    return Catalogue(
        subjects=_subjects(known["subjects"]),
        models=_models(known["models"]),
        metrics={node["name"]: _metric(node) for node in words["metrics"]},
        rules=tuple(_rule(node) for node in rules["rules"]),
        constants=_facts(known["constants"], {}),
        wordings={node["words"]: (float(node["factors"][0]), float(node["factors"][1])) for node in words["wordings"]},
    )


def _document(name: str) -> dict[str, Any]:
    path = claims_folder() / name
    file = shown_path(path)
    data = parse_yaml(read_text(path, file), file)[0]
    if not isinstance(data, dict):
        raise InputError("not a mapping", file=file, expected="sections by name")
    return data


def _subjects(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for node in nodes:
        name = node["name"]
        base = found.get(node.get("like", ""), Subject(name, name, {}))
        inherited = {key: fact for key, fact in base.facts.items() if key not in node.get("without", ())}
        found[name] = Subject(
            name,
            node.get("group", base.group),
            _facts(node.get("facts", {}), inherited),
            {int(n): system for n, system in node["systems"]} if "systems" in node else base.systems,
            tuple(node.get("sets", base.sets)),
            node.get("model", base.model),
            tuple(node.get("links", base.links)),
            tuple(node.get("members", ())),
        )
    return found


def _facts(nodes: Mapping[str, Any], base: Mapping[str, Fact]) -> dict[str, Fact]:
    facts = dict(base)
    for name, node in nodes.items():
        try:
            leaf = read_leaf(node)
            if leaf.kind == "derived":
                value = float(evaluate(parse_formula(str(leaf.value)), lambda other: facts[other].value))
            else:
                value = 0.0 if isinstance(leaf.value, str) else float(leaf.value)
        except InputError as error:
            raise error.located(file="configs/claims/subjects.yaml", key=name) from None
        text = leaf.value if isinstance(leaf.value, str) else ""
        ends = (float(leaf.range[0]), float(leaf.range[1])) if leaf.range else None
        facts[name] = Fact(name, value, text, leaf.kind, leaf.source_ids, ends)
    return facts


def _models(nodes: Sequence[Mapping[str, Any]]) -> dict[str, ClaimedModel]:
    """Return the models by the names that claims use; those of the catalog have their own."""
    own = {name: _model({"name": name, "config": name}) for name in list_names("models")}
    return own | {node["name"]: _model(node) for node in nodes}


def _model(node: Mapping[str, Any]) -> ClaimedModel:
    name = node["name"]
    family = node.get("family", name)
    if "config" in node:
        config = load_model_config(configs_folder() / "models" / f"{node['config']}.json")
        return ClaimedModel(name, family, node["config"], config.n_parameters, config.n_active_parameters,
                            config.num_hidden_layers, config.kv_bytes_per_token("int8"))  # fmt: skip
    parameters = float(node["parameters"])
    return ClaimedModel(name, family, None, parameters, float(node.get("active", parameters)),
                        int(node.get("layers", 0)), float(node.get("kv_bytes_per_token", 0.0)))  # fmt: skip


def _metric(node: Mapping[str, Any]) -> Metric:
    options = dict(node)
    name = options.pop("name")
    units = {options.pop("unit"): 1.0} | {unit: float(factor) for unit, factor in options.pop("units", ())}
    options["readings"] = {words: float(factor) for words, factor in options.get("readings", ())}
    ratio = options.pop("ratio", None)
    if ratio is not None:
        options["ratio"] = Ratio(**(ratio | {"of": tuple(ratio.get("of", ()))}))
    options |= {key: tuple(options.get(key, ())) for key in ("checks", "stored")}
    options["scale"] = float(options.get("scale", 1.0))
    return Metric(name, units, options.pop("quantity", name), **options)


def _rule(node: Mapping[str, Any]) -> Rule:
    options = dict(node)
    name = options.pop("name")
    metric = options.pop("metric")
    metrics = (metric,) if isinstance(metric, str) else tuple(metric)
    compare = next(each for each in ("equals", "at_most", "at_least") if each in options)
    options |= {key: tuple(options.get(key, ())) for key in ("subjects", "families")}
    return Rule(name, metrics, str(options.pop(compare)), compare, options.pop("says"), **options)
