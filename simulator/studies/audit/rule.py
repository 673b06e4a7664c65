"""Rules: a formula over a claim, facts, models and other claims that the claim has to stand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.formula import evaluate, formula_names, parse_formula
from dieshot.simulator.studies.audit.catalogue import ASSUMED, Catalogue, Fact, Rule, Subject
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.demand import GIGA, Demand, formats_of
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure

PUBLISHED = "published"
_TOKEN = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?|[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*")
_FUNCTIONS = {"min", "max", "ceil", "floor", "round"}
_FAILS = {"above": Verdict.ABOVE, "contradicts": Verdict.CONTRADICTS, "reading": Verdict.READING}
_PASSES = {"confirmed": Verdict.CONFIRMED, "plausible": Verdict.PLAUSIBLE}


class UnknownError(Exception):
    """A figure that a rule asks for is not known, so the rule says nothing."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What the names of a rule stand for in one of its applications."""

    catalogue: Catalogue
    claim: Claim
    claims: Mapping[str, Claim]
    facts: Mapping[str, Fact]
    moved: Mapping[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float:
        """Return the number behind a name; UnknownError where there is none."""
        if name in self.moved:
            return self.moved[name]
        head, _, tail = name.partition(".")
        if head == "claim":
            return self._of(self.claim, tail)
        if head in self.claims:
            return self._of(self.claims[head], tail)
        if head in self.facts:
            return self.facts[head].value
        subject = self.catalogue.subject(self.claim.system)
        number: float | None = None
        if head == "fact":
            number = subject.number(tail)
        elif head == "constant" and tail in self.catalogue.constants:
            number = self.catalogue.constants[tail].value
        elif head == "model":
            number = self._model(self.claim, tail)
        if number is None:
            raise UnknownError(name)
        return number

    def _of(self, claim: Claim, what: str) -> float:
        low, high = claim.interval(self.catalogue.wordings)
        known = {"": claim.value, "low": low, "high": high, "chips": claim.chips, "users": claim.users}
        known |= {"year": claim.year, "years": claim.years}
        number = known[what] if what in known else self._model(claim, what)
        if number is None:
            raise UnknownError(what)
        return float(number)

    def _model(self, claim: Claim, what: str) -> float | None:
        subject, model = self.catalogue.subject(claim.system), self.catalogue.models.get(claim.model)
        if model is None:
            return None
        formats = formats_of(claim, subject)
        demand = Demand(subject, model, formats[0], 1, False) if formats else None
        values: dict[str, Any] = {
            "n": model.n_parameters,
            "active": model.n_active,
            "layers": model.n_layers or None,
            "GB": demand and demand.weight_bytes / GIGA,
            "active_GB": demand and demand.active_bytes / GIGA,
            "needed_chips": demand and demand.chips_needed,
            "bits": demand and demand.bits,
        }
        found = values.get(what)
        return None if found is None else float(found)

    def ranges(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Return the ranges of the assumed figures among names."""
        own = self.catalogue.subject(self.claim.system).facts
        found = {}
        for name in names:
            head, _, tail = name.partition(".")
            fact = {"fact": own, "constant": self.catalogue.constants}.get(head, self.facts).get(tail or head)
            if fact is not None and fact.kind == ASSUMED and fact.range is not None:
                found[name] = fact.range
        return found

    def are_measured(self, names: Sequence[str]) -> bool:
        """Return whether all facts among names are measurements."""
        facts = self.catalogue.subject(self.claim.system).facts
        return all(
            facts[tail].kind == "measured"
            for name in names
            for head, _, tail in [name.partition(".")]
            if head == "fact"
        )

    def sources(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sources of the facts that names stand for."""
        subject = self.catalogue.subject(self.claim.system)
        own = subject.sources(*(name.partition(".")[2] for name in names if name.startswith("fact.")))
        other = (source for fact in self.facts.values() for source in fact.sources)
        return tuple(dict.fromkeys((*own, *other)))


@dataclass(frozen=True, slots=True)
class _Outcome:
    left: float
    right: float
    off: float
    given: _Given

    @property
    def stands(self) -> bool:
        return self.off <= 1


def rule_findings(claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    """Return what the rules for the claim's metric find."""
    found = []
    for rule in catalogue.rules:
        if claim.metric in rule.metrics and _is_about(rule, claim, catalogue):
            found += _apply(rule, claim, claims, catalogue)
    return found


def _is_about(rule: Rule, claim: Claim, catalogue: Catalogue) -> bool:
    subject = catalogue.subject(claim.system)
    if rule.subjects and not {subject.group, subject.name} & set(rule.subjects):
        return False
    meant = subject.number(rule.chips) if rule.chips else None
    if meant is not None and claim.chips not in (None, meant):
        return False
    model = catalogue.models.get(claim.model)
    return not rule.families or (model is not None and model.family in rule.families)


def _apply(rule: Rule, claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    outcomes = [each for given in _applications(rule, claim, claims, catalogue) if (each := _outcome(rule, given))]
    if not outcomes:
        return []
    failing = [each for each in outcomes if not each.stands]
    if not failing or (rule.compare == "equals" and len(failing) < len(outcomes)):
        best = min(outcomes, key=lambda each: each.off)
        return [_finding(rule, best, [best], _passed(rule, best))]
    if all(_stands_within_ranges(rule, each) for each in failing):
        found = _finding(rule, failing[0], failing, Verdict.PLAUSIBLE)
        text = f"{found.arithmetic}; it stands within the ranges of what is assumed"
        return [replace(found, arithmetic=text, factor=1.0)]
    nearest = (
        min(failing, key=lambda each: each.off) if rule.compare == "equals" else max(failing, key=lambda each: each.off)
    )
    return [_finding(rule, nearest, failing, _FAILS[rule.fails])]


def _passed(rule: Rule, outcome: _Outcome) -> Verdict:
    """Return what a claim is that stands a rule; only measurements confirm where the rule says so."""
    if rule.passes == "measured":
        return (
            Verdict.CONFIRMED
            if outcome.given.are_measured(formula_names(parse_formula(rule.formula)))
            else Verdict.PLAUSIBLE
        )
    return _PASSES[rule.passes]


def _stands_within_ranges(rule: Rule, outcome: _Outcome) -> bool:
    """Return whether there are values within the ranges of what is assumed with which the claim stands the rule."""
    ranges = outcome.given.ranges(_names(rule))
    for ends in itertools.product(*ranges.values()):
        moved = _outcome(rule, replace(outcome.given, moved=dict(zip(ranges, ends, strict=True))))
        if moved is not None and moved.stands:
            return True
    return False


def _names(rule: Rule) -> tuple[str, ...]:
    return (*formula_names(parse_formula(rule.formula)), *formula_names(parse_formula(rule.left)))


def _applications(rule: Rule, claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> Iterator[_Given]:
    choices: list[list[tuple[str, Claim | Fact]]] = []
    for name, spec in rule.given.items():
        if "fact" in spec:
            fact = catalogue.subject(spec["subject"]).facts.get(spec["fact"])
            choices.append([(name, fact)] if fact else [])
        else:
            choices.append([(name, each) for each in _matching(spec, claim, claims, catalogue)])
    for choice in itertools.product(*choices):
        yield _Given(
            catalogue,
            claim,
            {name: each for name, each in choice if isinstance(each, Claim)},
            {name: each for name, each in choice if isinstance(each, Fact)},
        )


def _matching(spec: Mapping[str, Any], claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> Iterator[Claim]:
    metrics = spec["metric"] if isinstance(spec["metric"], list) else [spec["metric"]]
    about: Subject = catalogue.subject(claim.system if spec.get("subject", "same") == "same" else spec["subject"])
    groups = {about.group, *(catalogue.subject(name).group for name in about.members)}
    for each in claims:
        if each.id == claim.id or each.metric not in metrics or catalogue.subject(each.system).group not in groups:
            continue
        if spec.get("model", "same") == "same" and not _same_family(each, claim, catalogue):
            continue
        if "chips" in spec and each.chips != spec["chips"]:
            continue
        if spec.get("article") == "same" and each.article != claim.article:
            continue
        yield each


def _same_family(one: Claim, other: Claim, catalogue: Catalogue) -> bool:
    first, second = catalogue.models.get(one.model), catalogue.models.get(other.model)
    return first is None or second is None or first.family == second.family


def _outcome(rule: Rule, given: _Given) -> _Outcome | None:
    try:
        if rule.when is not None and evaluate(parse_formula(rule.when), given.value) <= 0:
            return None
        right = float(evaluate(parse_formula(rule.formula), given.value))
        left = float(evaluate(parse_formula(rule.left), given.value))
        low, high = left, left
        if rule.left == "claim" and (rule.compare == "equals" or given.claim.range is None):
            low, high = given.claim.interval(given.catalogue.wordings)
    except (UnknownError, InputError):
        return None
    return _Outcome(left, right, _off(rule, low, high, right), given)


def _off(rule: Rule, low: float, high: float, right: float) -> float:
    """Return by what factor an interval misses the right side, over the tolerance; at most 1 where it does not."""
    over = low / right if right > 0 else (float("inf") if low > 0 else 1.0)
    under = right / high if high > 0 else (float("inf") if right > 0 else 1.0)
    worst = {"at_most": over, "at_least": under}.get(rule.compare, max(over, under))
    return worst / rule.tolerance


def _finding(rule: Rule, outcome: _Outcome, outcomes: Sequence[_Outcome], verdict: Verdict) -> Finding:
    against = tuple(dict.fromkeys(each.id for one in outcomes for each in one.given.claims.values()))
    off = outcome.off * rule.tolerance
    written = _written(rule.formula, outcome.given)
    line = f"{rule.says}: " + ("" if written == figure(outcome.right) else f"{written} = ") + figure(outcome.right)
    sign = {"equals": "claimed", "at_most": "at most that; claimed", "at_least": "at least that; claimed"}[rule.compare]
    line += f"; {sign} {figure(outcome.left)}"
    is_contradiction = verdict is Verdict.CONTRADICTS
    return Finding(
        verdict,
        line,
        bound=rule.bound,
        factor=off if not outcome.stands else 1.0,
        against=(against or (PUBLISHED,)) if is_contradiction else (),
        under=rule.under if verdict is Verdict.READING else None,
        sources=outcome.given.sources(_names(rule)),
    )


def _written(formula: str, given: _Given) -> str:
    """Return a formula with its numbers in place of the names."""

    def number(found: re.Match[str]) -> str:
        if found[0] in _FUNCTIONS:
            return found[0]
        return figure(float(found[0]) if found[0][0].isdigit() else given.value(found[0]))

    return _TOKEN.sub(number, formula)
