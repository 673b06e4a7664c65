"""Claims against published figures of what they are about."""

from __future__ import annotations

from dieshot.simulator.studies.audit.catalogue import Catalogue, Fact
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.audit.rule import PUBLISHED

TRUSTED = ("published", "measured")


def published_findings(claim: Claim, catalogue: Catalogue) -> list[Finding]:
    """Return how a claim compares with the fact that its metric names, under each of the metric's readings."""
    metric = catalogue.metrics[claim.metric]
    fact = catalogue.subject(claim.system).facts.get(metric.fact or "")
    if fact is None:
        return []
    low, high = (claim.value, claim.value) if claim.range else claim.interval(catalogue.wordings)
    off = _off(low, high, fact)
    line = f"claimed {figure(claim.value)} {claim.unit}; {fact.kind} {_shown(fact)}"
    trusted = fact.kind in TRUSTED or fact.kind == "derived"
    if off <= metric.tolerance:
        verdict = Verdict.CONFIRMED if trusted else Verdict.PLAUSIBLE
        return [Finding(verdict, line, factor=1.0, sources=fact.sources)]
    for words, factor in metric.readings.items():
        if _off(low / factor, high / factor, fact) <= metric.tolerance:
            text = f"{line}; {figure(claim.value)} / {figure(factor)} = {figure(claim.value / factor)}"
            return [Finding(Verdict.READING, text, None, factor, (), words, sources=fact.sources)]
    if not trusted:
        return [Finding(Verdict.PLAUSIBLE, line, factor=off, sources=fact.sources)]
    return [Finding(Verdict.CONTRADICTS, line, None, off, (PUBLISHED,), sources=fact.sources)]


def _off(low: float, high: float, fact: Fact) -> float:
    """Return by what factor an interval misses a fact; 1 where it does not."""
    least, most = fact.range or (fact.value, fact.value)
    if low > most:
        return low / most if most > 0 else float("inf")
    if high < least:
        return least / high if high > 0 else float("inf")
    return 1.0


def _shown(fact: Fact) -> str:
    if fact.range is None:
        return figure(fact.value)
    return f"{figure(fact.range[0])} to {figure(fact.range[1])}"
