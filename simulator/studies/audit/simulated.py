"""What the simulator says to a claim: which run, and the figure of it that the claim is about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dieshot.simulator.params import list_names
from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.demand import CACHE_BITS, MS_PER_S, Demand, demands
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.point import Point, PointRequest, decode_point

CLOSE = 1.15  # a figure no farther from the simulated one is confirmed
BATCH, MOST_USERS = 8, 512  # users of a run that a rate of all users is held against, at least and at most
MOST_ASSUMED = 0.5  # a run on more assumptions than that confirms nothing
USABLE = 0.9  # of a memory, beside activations
CONTEXT_TOKENS = 1024
_OF_A_RUN = {
    "energy_per_token_J": "energy_per_token_j",
    "tokens_per_s_per_W": "energy_per_token_j",
}
_OF_ALL_USERS = ("system_tokens_per_s", "tokens_per_s_per_chip", "tokens_per_s_unspecified", *_OF_A_RUN)


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run beside a claim. value: in the claim's unit, None where the run was refused; `refused` says why.

    assumed, read: how many of the parameters that the run read are assumed, and how many it read.
    """

    request: PointRequest
    value: float | None
    refused: str | None = None
    assumed: int = 0
    read: int = 0

    def node(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {
            "command": self.request.command,
            "value": self.value,
            "refused": self.refused,
            "assumed_parameters": self.assumed,
            "parameters_read": self.read,
        }


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
    asked = min(demands(claim, catalogue), key=lambda each: each.chips_needed or 1)
    least = max(asked.chips_needed or 1, claim.chips or int(subject.number("deployed_chips") or 1))
    asked = asked.on(next((n for n in have if n >= least), max(have)))
    system, batches = have[asked.n_chips], _batches(claim, asked)
    return [decode_point(system, model.config, batch, CONTEXT_TOKENS, sets=subject.sets) for batch in batches]


def _batches(claim: Claim, asked: Demand) -> Sequence[int]:
    """Return the batches of the runs: the claim's own, or one user, and for a rate of all as many as it takes."""
    if claim.users is not None:
        return (claim.users,)
    if claim.metric not in _OF_ALL_USERS or not asked.tiers:
        return (1,)
    cache = asked.model.kv_bytes_per_token * CACHE_BITS / 8 * CONTEXT_TOKENS * 2  # kept in 16 bits by default
    room = max(tier.capacity_bytes for tier in asked.tiers) * asked.n_chips * USABLE - asked.weight_bytes
    users = claim.value / (asked.steps_per_s or claim.value)
    wanted = min(max(users, BATCH), room / cache, MOST_USERS)
    return (1, 1 << int(math.log2(wanted))) if wanted >= 2 else (1,)


def simulated(claim: Claim, found: Mapping[PointRequest, Point], catalogue: Catalogue) -> list[Simulated]:
    """Return the claim's figure in each of its runs."""
    return [_value(claim, found[request], catalogue) for request in requests_for(claim, catalogue)]


def _value(claim: Claim, point: Point, catalogue: Catalogue) -> Simulated:
    if point.summary is None:
        return Simulated(point.request, None, point.refused)
    summary = point.summary
    assumed, read = len(summary["assumed_parameters_read"]), int(summary["parameters_read"])
    return Simulated(point.request, _figure(claim, summary, catalogue), None, assumed, read)


def _figure(claim: Claim, summary: Mapping[str, Any], catalogue: Catalogue) -> float:
    """Return what a run says of the figure that is claimed, in its unit."""
    rate = catalogue.metrics[claim.metric].rate
    step_s = float(summary["time_per_output_token_s"])
    if rate == "user":
        return 1 / step_s
    if rate == "latency":
        return step_s * MS_PER_S
    if rate is not None:
        chips = int(summary["chips"]) if rate == "chip" else 1
        return int(summary["batch"]) / step_s / chips
    joules = float(summary["energy_per_token_j"])
    return 1 / joules if claim.metric == "tokens_per_s_per_W" else joules


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
    line += f"; {nearest.assumed} of {nearest.read} parameters assumed"
    if off <= CLOSE and nearest.assumed <= MOST_ASSUMED * nearest.read:
        return [Finding(Verdict.CONFIRMED, line, factor=1.0)]
    return [Finding(Verdict.PLAUSIBLE, line, factor=off)]
