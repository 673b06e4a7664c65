"""What the simulator says to a claim: which run, and the figure of it that the claim is about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dieshot.simulator.params import list_names
from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.demand import MS_PER_S, demands
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.point import Point, PointRequest, decode_point

CLOSE = 1.15  # a figure no farther from the simulated one is confirmed
BATCHES = (1, 8, 64)  # of the runs that rates of many users are held against
CONTEXT_TOKENS = 1024
_OF_A_RUN = {
    "energy_per_token_J": "energy_per_token_j",
    "tokens_per_s_per_W": "energy_per_token_j",
}


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run beside a claim. value: in the claim's unit, None where the run was refused; `refused` says why."""

    request: PointRequest
    value: float | None
    refused: str | None = None

    def node(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {"command": self.request.command, "value": self.value, "refused": self.refused}


def requests_for(claim: Claim, catalogue: Catalogue) -> list[PointRequest]:
    """Return the runs that a claim is held against; none where we have no such system or no such model."""
    metric, subject = catalogue.metrics[claim.metric], catalogue.subject(claim.system)
    model = catalogue.models.get(claim.model)
    if model is None or model.config is None or (metric.rate is None and claim.metric not in _OF_A_RUN):
        return []
    known = set(list_names("systems"))
    have = {n: name for n, name in sorted(subject.systems.items()) if name in known}
    if not have:
        return []
    needed = max((each.chips_needed or 1 for each in demands(claim, catalogue)), default=1)
    least = claim.chips or needed
    n = next((n for n in have if n >= max(least, 1)), max(have))
    if claim.chips is not None and n != claim.chips and claim.chips in have:
        n = claim.chips
    return [decode_point(have[n], model.config, batch, CONTEXT_TOKENS) for batch in _batches(claim, metric.rate)]


def _batches(claim: Claim, rate: str | None) -> Sequence[int]:
    if claim.users is not None:
        return (claim.users,)
    return (1,) if rate in ("user", "latency") else BATCHES


def simulated(claim: Claim, found: Mapping[PointRequest, Point], catalogue: Catalogue) -> list[Simulated]:
    """Return the claim's figure in each of its runs."""
    return [_value(claim, found[request], catalogue) for request in requests_for(claim, catalogue)]


def _value(claim: Claim, point: Point, catalogue: Catalogue) -> Simulated:
    if point.summary is None:
        return Simulated(point.request, None, point.refused)
    summary, rate = point.summary, catalogue.metrics[claim.metric].rate
    step_s = float(summary["time_per_output_token_s"])
    if rate == "user":
        return Simulated(point.request, 1 / step_s)
    if rate == "latency":
        return Simulated(point.request, step_s * MS_PER_S)
    if rate is not None:
        chips = summary["chips"] if rate == "chip" else 1
        return Simulated(point.request, summary["batch"] / step_s / chips)
    joules = float(summary["energy_per_token_j"])
    return Simulated(point.request, 1 / joules if claim.metric == "tokens_per_s_per_W" else joules)


def simulation_findings(claim: Claim, runs: Sequence[Simulated]) -> list[Finding]:
    """Return how the claim compares with its runs; the nearest counts."""
    values = [(each, each.value) for each in runs if each.value]
    if not values or not claim.value:
        return []
    nearest, value = min(values, key=lambda pair: abs(math.log(pair[1] / claim.value)))
    off = max(value / claim.value, claim.value / value)
    unit = claim.unit
    shown = ", ".join(f"{figure(each)} (batch {run.request.batch})" for run, each in values)
    line = f"simulated on {nearest.request.system}: {shown} {unit}; claimed {figure(claim.value)}"
    if off <= CLOSE:
        return [Finding(Verdict.CONFIRMED, line, factor=1.0)]
    return [Finding(Verdict.PLAUSIBLE, line, factor=off)]
