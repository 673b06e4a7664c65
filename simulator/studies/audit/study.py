"""The audit: every claim of a table with its findings and its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.catalog import catalog_sources, shown_path
from dieshot.simulator.studies.audit.capacity import capacity_findings
from dieshot.simulator.studies.audit.catalogue import Catalogue, claims_folder, load_catalogue
from dieshot.simulator.studies.audit.claim import Claim, read_claims
from dieshot.simulator.studies.audit.finding import Finding, Verdict, gravest, said
from dieshot.simulator.studies.audit.linked import link_findings
from dieshot.simulator.studies.audit.mutual import mutual_findings
from dieshot.simulator.studies.audit.published import published_findings
from dieshot.simulator.studies.audit.rate import system_findings, user_findings
from dieshot.simulator.studies.audit.rule import PUBLISHED, rule_findings
from dieshot.simulator.studies.audit.simulated import (
    Simulated,
    requests_for,
    simulated,
    simulation_findings,
    stored_findings,
)
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.point import Point, PointRequest, points


@dataclass(frozen=True, slots=True)
class Audited:
    """A claim with what was found; `verdict` is the gravest finding."""

    claim: Claim
    findings: tuple[Finding, ...]
    runs: tuple[Simulated, ...]

    @property
    def verdict(self) -> Finding:
        """The finding that sets the verdict."""
        return gravest(self.findings)

    @property
    def bound(self) -> Finding | None:
        """The finding about the bound that the claim comes nearest to, or exceeds most."""
        bounded = [each for each in self.findings if each.bound is not None]
        return gravest(bounded) if bounded else None

    def node(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        claim = {name: getattr(self.claim, name) for name in self.claim.__dataclass_fields__}
        return claim | {
            "verdict": str(self.verdict.verdict),
            "said": said(self.verdict, 99),
            "simulated": [each.node() for each in self.runs],
            "findings": [each.node() for each in self.findings],
        }


def shipped_claims() -> list[Claim]:
    """Return the package's claims."""
    catalogue = load_catalogue()
    files = sorted(claims_folder().glob("*.csv"))
    return [claim for file in files for claim in read_claims(file, catalogue.units, shown_path(file))]


def judged_claims(claims: Path | None = None) -> list[Claim]:
    """Return the claims of a CSV file, or those that come along."""
    return shipped_claims() if claims is None else read_claims(claims, load_catalogue().units)


def audit(
    claims: Path | None = None,
    *,
    only: str | None = None,
    simulate: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Audited]:
    """Return the claims of a CSV file, or those that come along, each with findings and verdict.

    A user's claims are held against each other and against those that come along. only: a system, a metric, or
    SYSTEM/METRIC. simulate: False leaves out the runs. InputError where a row is malformed or `only` matches nothing.
    """
    catalogue = load_catalogue()
    every = judged_claims(claims)
    ids = {claim.id for claim in every}
    known = [*every, *(claim for claim in shipped_claims() if claim.id not in ids)]
    judged = _only(every, only)
    found = _simulate(judged, catalogue, processes, progress) if simulate else {}
    looked_at = {claim.id: _findings(claim, known, catalogue, found) for claim in known}
    firm = {id for id, (findings, _) in looked_at.items() if _is_firm(findings)}
    broken = {id for id, (findings, _) in looked_at.items() if _is_broken(findings)}
    return [_settled(claim, *looked_at[claim.id], firm, broken) for claim in judged]


def _findings(
    claim: Claim, known: Sequence[Claim], catalogue: Catalogue, found: Mapping[PointRequest, Point]
) -> tuple[list[Finding], list[Simulated]]:
    metric = catalogue.metrics[claim.metric]
    findings = published_findings(claim, catalogue)
    if metric.rate in ("user", "latency"):
        findings += user_findings(claim, catalogue)
    elif metric.rate is not None:
        findings += system_findings(claim, catalogue, metric.rate)
    elif (claim.chips and claim.model) or "capacity" in metric.checks:
        words = claim.interval(catalogue.wordings)[1] if claim.worded else None
        findings += capacity_findings(claim, catalogue, words)
    findings += rule_findings(claim, known, catalogue)
    findings += mutual_findings(claim, known, catalogue)
    wanted = requests_for(claim, catalogue)
    runs = simulated(claim, found, catalogue) if wanted and all(each in found for each in wanted) else []
    findings += link_findings(claim, catalogue)
    findings += simulation_findings(claim, runs, found, catalogue) + stored_findings(claim, catalogue)
    return findings, runs


def _is_firm(findings: Sequence[Finding]) -> bool:
    """Return whether a claim holds by itself, so that what contradicts it is at fault."""
    return any(each.verdict is Verdict.CONFIRMED for each in findings) and not _is_broken(findings)


def _is_broken(findings: Sequence[Finding]) -> bool:
    """Return whether a claim fails by itself, without another claim's help."""
    return any(each.verdict is Verdict.ABOVE or PUBLISHED in each.against for each in findings)


def _settled(claim: Claim, findings: list[Finding], runs: list[Simulated], firm: set[str], broken: set[str]) -> Audited:
    """Return the claim with its contradictions charged to the side that is at fault, to both where neither is."""
    settled = []
    for each in findings:
        others = set(each.against)
        holds = (claim.id in firm and not others & firm) or (claim.id not in broken and others <= broken)
        if each.verdict is Verdict.CONTRADICTS and PUBLISHED not in others and holds:
            each = replace(each, charged=False)
        settled.append(each)
    if not any(each.charged for each in settled):
        settled.append(_unchecked(claim, contradicted=bool(settled)))
    return Audited(claim, tuple(settled), tuple(runs))


def _unchecked(claim: Claim, contradicted: bool) -> Finding:
    catalogue = load_catalogue()
    reason = catalogue.metrics[claim.metric].unchecked
    if reason is None and claim.system not in catalogue.subjects:
        nearest = nearest_name(claim.system, catalogue.subjects)
        reason = f"nothing is known about '{claim.system}'" + (f"; did you mean '{nearest}'?" if nearest else "")
    elif reason is None and claim.model and claim.model not in catalogue.models:
        reason = f"'{claim.model}' is no model with known parameters"
    if contradicted:
        reason = "contradicted only by claims that are at fault themselves"
    return Finding(Verdict.UNCHECKED, reason or "no published figure or run to hold it against")


def _only(claims: list[Claim], only: str | None) -> list[Claim]:
    if only is None:
        return claims
    system, _, metric = only.rpartition("/")
    chosen = [
        each
        for each in claims
        if (each.metric == metric and system.lower() in each.system.lower())
        or (only.lower() in each.system.lower() or only == each.metric or only == each.id)
    ]
    if not chosen:
        names = sorted({name for each in claims for name in (each.system, each.metric)})
        raise InputError(
            "no such claim", key="--only", value=only, expected=listed(names), nearest=nearest_name(only, names)
        )
    return chosen


def _simulate(
    claims: Sequence[Claim], catalogue: Catalogue, processes: int, progress: Progress | None
) -> dict[PointRequest, Point]:
    wanted = list(dict.fromkeys(request for claim in claims for request in requests_for(claim, catalogue)))
    return dict(zip(wanted, points(wanted, processes, progress), strict=True)) if wanted else {}


def counted(audited: Sequence[Audited]) -> dict[str, int]:
    """Return how many claims have each verdict, the gravest first."""
    counts = Counter(each.verdict.verdict for each in audited)
    return {str(verdict): counts[verdict] for verdict in Verdict}


def source_titles(ids: Sequence[str]) -> list[str]:
    """Return title and date of sources by their ids; an id that is none is its own title."""
    known = catalog_sources()
    return [f"{known[id].title}{f', {known[id].date}' if known[id].date else ''}" if id in known else id for id in ids]
