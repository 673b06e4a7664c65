"""What the simulator says to a claim: which run, and the figure of it that the claim is about."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dieshot.simulator.params import find_path, list_names
from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.counting import CLOSE, served, served_finding, served_requests
from dieshot.simulator.studies.audit.demand import CACHE_BITS, MS_PER_S, Demand, demands
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.point import Point, PointRequest, decode_point
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import load_model_config

BATCH, MOST_USERS = 8, 512  # users of a run that a rate of all users is held against, at least and at most
MOST_ASSUMED = 0.5  # a run on more assumptions than that confirms nothing
USABLE = 0.9  # of a memory, beside activations
CONTEXT_TOKENS = 1024
DEFAULT_MODEL = "llama-3-70b"  # of claims that name none, where the system runs any
_OF_ALL_USERS = ("all", "chip", "energy", "tokens_per_joule", "cost")
_NOT_ALIKE = (
    "power",
    "utilisation",
    "cost",
    "energy",
    "tokens_per_joule",
)  # hang on a workload that claims do not name


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
    subject, run = catalogue.subject(claim.system), catalogue.metrics[claim.metric].run
    claim = claim if claim.model else replace(claim, model=subject.model or DEFAULT_MODEL)
    model = catalogue.models.get(claim.model)
    known = set(list_names("systems"))
    have = {n: name for n, name in sorted(subject.systems.items()) if name in known}
    if run is None or model is None or model.config is None or not have:
        return []
    formats = [*demands(claim, catalogue)] or [Demand(subject, model, "bf16", claim.chips or 1, False)]
    asked = min(formats, key=lambda each: each.chips_needed or 1)
    least = max(asked.chips_needed or 1, claim.chips or asked.chips_deployed or 1)
    asked = asked.on(next((n for n in have if n >= least), max(have)))
    system, batches = have[asked.n_chips], _batches(claim, asked, run)
    if claim.workload is not None and run == "all":
        return served_requests(claim.workload, system, model.config, max(batches), subject.sets)
    return [decode_point(system, model.config, batch, CONTEXT_TOKENS, sets=subject.sets) for batch in batches]


def _batches(claim: Claim, asked: Demand, run: str) -> Sequence[int]:
    """Return the batches of the runs: the claim's own, or one user, and for a rate of all as many as it takes."""
    if claim.users is not None:
        return (claim.users,)
    if run not in _OF_ALL_USERS or not asked.tiers:
        return (1,)
    cache = asked.model.kv_bytes_per_token * CACHE_BITS / 8 * CONTEXT_TOKENS * 2  # kept in 16 bits by default
    room = max(tier.capacity_bytes for tier in asked.tiers) * asked.n_chips * USABLE - asked.weight_bytes
    is_rate = run in ("all", "chip")
    users = claim.value / (asked.steps_per_s or claim.value) if is_rate and claim.value else MOST_USERS / 16
    wanted = min(max(users, BATCH), room / cache, MOST_USERS)
    return (1, 1 << int(math.log2(wanted))) if wanted >= 2 else (1,)


def simulated(claim: Claim, found: Mapping[PointRequest, Point], catalogue: Catalogue) -> list[Simulated]:
    """Return the claim's figure in each of its runs."""
    requests = requests_for(claim, catalogue)
    whole = served(claim, requests, found)
    if whole is None:
        return [_value(claim, found[request], catalogue) for request in requests]
    return [
        replace(_counted(found[request]), value=value)
        for request, value in zip(requests, (whole.all_per_s, whole.output_per_s), strict=True)
    ]


def _counted(point: Point) -> Simulated:
    """Return a run without a figure, and how much of it is assumed."""
    if point.summary is None:
        return Simulated(point.request, None, point.refused)
    assumed, read = len(point.summary["assumed_parameters_read"]), int(point.summary["parameters_read"])
    return Simulated(point.request, None, None, assumed, read)


def _value(claim: Claim, point: Point, catalogue: Catalogue) -> Simulated:
    value = None if point.summary is None else _figure(claim, point.summary, catalogue)
    return replace(_counted(point), value=value)


def _figure(claim: Claim, summary: Mapping[str, Any], catalogue: Catalogue) -> float | None:
    """Return what a run says of the figure that is claimed, in its unit; None where it says nothing."""
    run, step_s = catalogue.metrics[claim.metric].run, float(summary["time_per_output_token_s"])
    rate = int(summary["batch"]) / step_s
    layers_s = step_s / _layers(summary["model"])
    figures = {
        "user": 1 / step_s,
        "latency": step_s * MS_PER_S,
        "all": rate,
        "chip": rate / int(summary["chips"]),
        "energy": summary["energy_per_token_j"],
        "tokens_per_joule": 1 / summary["energy_per_token_j"],
        "cost": summary["cost"] and summary["cost"]["usd_per_mtoken"],
        "power": summary["chip_power_w"],
        "utilisation": summary["utilization"].get(set_up(summary["system"]).chip.main_kind),
        "layer_cycles": layers_s * summary["cycles"] / summary["total_time_s"],
    }
    value = figures[str(run)]
    return None if value is None else float(value)


def _layers(model: str) -> int:
    return int(load_model_config(find_path("models", model)).num_hidden_layers)


def stored(claim: Claim, catalogue: Catalogue) -> tuple[str, float] | None:
    """Return one of our chips of the subject and its own figure for the claim's metric, without a run; None without."""
    metric, subject = catalogue.metrics[claim.metric], catalogue.subject(claim.system)
    name = next((subject.systems[n] for n in sorted(subject.systems)), None)
    if name is None or name not in list_names("systems") or not metric.stored:
        return None
    peaks = _peaks(name)
    value = next((peaks[key] for key in metric.stored if peaks.get(key)), None)
    return None if value is None else (name, value * metric.scale)


@functools.cache
def _peaks(system: str) -> dict[str, float]:
    """Return the peaks of a system's chip, its memory and its operations a second."""
    chip = set_up(system).chip
    peaks: dict[str, float] = dict(chip.peaks()) | {"memory_bytes": float(chip.memory_bytes)}
    macs = [peak for key, peak in peaks.items() if key.startswith("mac:")]
    return peaks | {"operations": 2 * max(macs, default=0.0)}


def stored_findings(claim: Claim, catalogue: Catalogue) -> list[Finding]:
    """Return how a claim compares with the figure of our own chip."""
    found = stored(claim, catalogue)
    if found is None or not claim.value:
        return []
    name, value = found
    off = max(value / claim.value, claim.value / value)
    line = f"the chip of {name} as simulated: {figure(value)} {claim.unit}; claimed {figure(claim.value)}"
    return [Finding(Verdict.CONFIRMED if off <= CLOSE else Verdict.PLAUSIBLE, line, factor=max(1.0, off))]


def simulation_findings(
    claim: Claim, runs: Sequence[Simulated], found: Mapping[PointRequest, Point], catalogue: Catalogue
) -> list[Finding]:
    """Return how the claim compares with its runs; the nearest counts."""
    whole = served(claim, [each.request for each in runs], found)
    if whole is not None:
        return [served_finding(claim, whole)]
    values = [(each, each.value) for each in runs if each.value]
    if not values or not claim.value:
        return []
    nearest, value = min(values, key=lambda pair: abs(math.log(pair[1] / claim.value)))
    off = max(value / claim.value, claim.value / value)
    unit = claim.unit
    shown = ", ".join(f"{figure(each)} (batch {run.request.batch})" for run, each in values)
    line = f"simulated on {nearest.request.system}: {shown} {unit}; claimed {figure(claim.value)}"
    line += f"; {nearest.assumed} of {nearest.read} parameters assumed"
    alike = catalogue.metrics[claim.metric].run not in _NOT_ALIKE or claim.users is not None
    if off <= CLOSE and alike and nearest.assumed <= MOST_ASSUMED * nearest.read:
        return [Finding(Verdict.CONFIRMED, line, factor=1.0)]
    return [Finding(Verdict.PLAUSIBLE, line, factor=off)]
