"""Claimed energies of links against the links of the catalog."""

from __future__ import annotations

import functools

from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.links import links

PJ = 1e12  # of a joule
LINK_ENERGY = "link_energy"


@functools.cache
def _energies_pj() -> dict[str, float]:
    """Return the energy of a bit by the name of the link."""
    return {each["name"]: each["energy_j_per_bit"] * PJ for each in links()}


def link_findings(claim: Claim, catalogue: Catalogue) -> list[Finding]:
    """Return how a claimed energy of a bit compares with the links of its subject, the nearest first."""
    subject = catalogue.subject(claim.system)
    if LINK_ENERGY not in catalogue.metrics[claim.metric].stored or not subject.links or not claim.value:
        return []
    known = sorted((off(_energies_pj()[name], claim.value), name) for name in subject.links if name in _energies_pj())
    if not known:
        return []
    shown = ", ".join(f"{figure(_energies_pj()[name])} ({name})" for _, name in known)
    line = f"our links: {shown} {claim.unit}; claimed {figure(claim.value)}"
    return [Finding(Verdict.PLAUSIBLE, line, factor=known[0][0])]


def off(value: float, claimed: float) -> float:
    """Return by what factor two figures differ."""
    return max(value / claimed, claimed / value) if value > 0 else float("inf")
