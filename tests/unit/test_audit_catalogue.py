"""What claims are held against: every number has a source, every name exists, and no claim is known to the code."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from dieshot.simulator.params import list_names
from dieshot.simulator.params.catalog import catalog_sources
from dieshot.simulator.params.formula import formula_names, parse_formula
from dieshot.simulator.studies.audit.catalogue import Rule, load_catalogue
from dieshot.simulator.studies.audit.study import shipped_claims
from dieshot.simulator.studies.setup import set_up

CATALOGUE = load_catalogue()
CODE = Path(__file__).resolve().parents[2] / "simulator"
NEEDS_SOURCE = ("published", "measured")


def test_no_claim_and_no_subject_is_named_in_the_code() -> None:
    files = [*(CODE / "studies" / "audit").glob("*.py"), CODE / "cli" / "audit.py"]
    assert len(files) > 10
    names = {claim.id for claim in shipped_claims()} | set(CATALOGUE.subjects) | {rule.name for rule in CATALOGUE.rules}
    names |= {word for name in CATALOGUE.subjects for word in name.split() if word[0].isupper() and len(word) > 4}
    for file in files:
        words = set(re.findall(r"[\w.-]+", file.read_text()))
        assert words & {name for name in names if " " not in name} <= {"Training", "Inference"}, file


def test_every_fact_has_a_source_that_is_listed() -> None:
    facts = [fact for subject in CATALOGUE.subjects.values() for fact in subject.facts.values()]
    facts += CATALOGUE.constants.values()
    assert len(facts) > 200
    for fact in facts:
        assert set(fact.sources) <= set(catalog_sources()), fact
        assert fact.sources or fact.kind not in NEEDS_SOURCE, fact
        assert fact.kind != "assumed" or fact.range is not None or fact.text, fact


def test_articles_of_claims_are_listed_sources() -> None:
    for claim in shipped_claims():
        assert claim.article and set(claim.article.split(";")) <= set(catalog_sources())


def test_systems_of_subjects_exist() -> None:
    named = {system for subject in CATALOGUE.subjects.values() for system in subject.systems.values()}
    assert named <= set(list_names("systems"))
    assert {link for subject in CATALOGUE.subjects.values() for link in subject.links} <= set(list_names("links"))


def test_models_and_members_exist() -> None:
    configs = {model.config for model in CATALOGUE.models.values() if model.config}
    assert configs <= set(list_names("models"))
    assert {name for subject in CATALOGUE.subjects.values() for name in subject.members} <= set(CATALOGUE.subjects)


@pytest.mark.parametrize("rule", CATALOGUE.rules, ids=lambda rule: rule.name)
def test_rules_name_what_exists(rule: Rule) -> None:
    facts = {name for subject in CATALOGUE.subjects.values() for name in subject.facts}
    groups = {subject.group for subject in CATALOGUE.subjects.values()} | {"MZI compute unit"}
    assert set(rule.metrics) <= set(CATALOGUE.metrics)
    assert set(rule.subjects) <= set(CATALOGUE.subjects) | groups
    assert rule.fails in ("above", "contradicts", "reading")
    assert rule.passes in ("confirmed", "plausible", "measured")
    assert rule.bound if rule.fails == "above" else True
    assert rule.under if rule.fails == "reading" else True
    for formula in (rule.formula, rule.left, rule.when or "1"):
        for name in formula_names(parse_formula(formula)):
            head, _, tail = name.partition(".")
            assert head in ("claim", "fact", "model", "constant", *rule.given), name
            assert head != "fact" or tail in facts, name
            assert head != "constant" or tail in CATALOGUE.constants, name
    for given in rule.given.values():
        wanted = given.get("metric", [])
        assert set([wanted] if isinstance(wanted, str) else wanted) <= set(CATALOGUE.metrics)
        assert given.get("subject", "same") in {"same", *CATALOGUE.subjects, *groups}
        assert "fact" not in given or given["fact"] in facts


def test_most_rules_speak_about_some_claim() -> None:
    metrics = {claim.metric for claim in shipped_claims()}
    assert [rule.name for rule in CATALOGUE.rules if not set(rule.metrics) & metrics] == []


@pytest.mark.parametrize("name", [name for name, subject in CATALOGUE.subjects.items() if subject.systems])
def test_capacity_is_that_of_our_own_chip(name: str) -> None:
    subject = CATALOGUE.subjects[name]
    capacities = [subject.number("memory_GB"), subject.number("second_GB")]
    known = [each * 1e9 for each in capacities if each]
    chip = set_up(next(iter(subject.systems.values()))).chip
    assert not known or any(math.isclose(each, chip.memory_bytes, rel_tol=0.1) for each in known)
