"""Whether a model fits on the chips that a claim gives it."""

from __future__ import annotations

import math
from dataclasses import replace

from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.demand import Demand, demands, size
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure


def capacity_findings(claim: Claim, catalogue: Catalogue, words: float | None = None) -> list[Finding]:
    """Return what the capacity of the claim's chips says. words: the most chips that the claim's wording allows."""
    asked = list(demands(claim, catalogue))
    if words is not None:
        asked = [each.on(max(1, math.floor(words))) for each in asked]
    found = [each for demand in asked if (each := _capacity(demand, explicit=bool(claim.precision))) is not None]
    failing = [each for each in found if each.verdict is Verdict.ABOVE]
    if len(failing) == len(found):
        return failing[:1]
    under = "the narrower of the named formats"
    return [replace(each, verdict=Verdict.READING, under=under) if each in failing else each for each in found]


def _capacity(demand: Demand, explicit: bool) -> Finding | None:
    needed = demand.chips_needed
    if needed is None:
        return None
    n, sources = demand.n_chips, demand.subject.sources("memory_GB", "second_GB", "rom_parameters")
    rom = demand.subject.number("rom_parameters")
    if rom is not None:
        quotient = figure(demand.model.n_parameters / rom)
        line = f"{figure(demand.model.n_parameters)} weights over {figure(rom)} a chip = {quotient} chips; claimed {n}"
        holds = needed <= n
        factor = demand.model.n_parameters / rom / n
    else:
        have = max(tier.capacity_bytes for tier in demand.tiers) * n
        line = f"{demand.reading} against {n:,} x {size(have / n)} = {size(have)}; chips needed: {needed:,}"
        holds, factor = demand.weight_bytes <= have, demand.weight_bytes / have
    if holds:
        return Finding(Verdict.PLAUSIBLE, line, bound="capacity", sources=sources)
    others = _narrower(demand)
    if others is not None and not explicit:
        return Finding(
            Verdict.READING,
            f"{line}; in {others} it fits",
            "capacity",
            factor,
            (),
            f"{others} weights",
            sources=sources,
        )
    return Finding(Verdict.ABOVE, line, "capacity", factor, sources=sources)


def _narrower(demand: Demand) -> str | None:
    """Return the subject's narrower format in which the model fits on as many chips."""
    name = demand.subject.words("narrow_format")
    if not name:
        return None
    other = Demand(demand.subject, demand.model, name, demand.n_chips, demand.stated)
    have = max(tier.capacity_bytes for tier in demand.tiers) * demand.n_chips
    return name if other.weight_bytes < demand.weight_bytes and other.weight_bytes <= have else None
