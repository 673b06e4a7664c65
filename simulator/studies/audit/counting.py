"""Rates of whole requests, prompts and all, by both ways of counting: output tokens alone, or prompt tokens as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.point import Point, PointRequest, decode_point

CLOSE = 1.15  # a figure no farther from the simulated one is confirmed


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that a system serves: prompts are read one after the other, then all users decode together.

    prompt_s: seconds that one prompt takes. step_s: seconds of a decode step of all users at half of their output.
    """

    system: str
    users: int
    prompt: int
    output: int
    prompt_s: float
    step_s: float

    @property
    def output_per_s(self) -> float:
        """Output tokens a second."""
        return self.users * self.output / (self.users * self.prompt_s + (self.output - 1) * self.step_s)

    @property
    def all_per_s(self) -> float:
        """Output and prompt tokens a second."""
        return self.output_per_s * (self.prompt + self.output) / self.output


def served_requests(
    workload: tuple[int, int], system: str, model: str, users: int, sets: tuple[str, ...]
) -> list[PointRequest]:
    """Return the two runs: one prompt, and two decode steps of all users half way through their output."""
    prompt, output = workload
    first = PointRequest(system, model, 1, prompt=prompt, generate=1, sets=sets)
    return [first, decode_point(system, model, users, prompt + output // 2, sets=sets)]


def served(claim: Claim, requests: list[PointRequest], found: Mapping[PointRequest, Point]) -> Served | None:
    """Return what the two runs say of a claim of whole requests; None where one of them was refused."""
    points = [found[request] for request in requests]
    if claim.workload is None or len(points) != 2 or any(each.summary is None for each in points):
        return None
    prompt, decode = (each.figures for each in points)
    step_s, prompt_s = float(decode["time_per_output_token_s"]), float(prompt["time_to_first_token_s"])
    return Served(requests[0].system, int(decode["batch"]), *claim.workload, prompt_s, step_s)


def served_finding(claim: Claim, found: Served) -> Finding:
    """Return how a claimed rate compares with both ways of counting."""
    prompts = f"{found.users} prompts of {found.prompt:,} in {figure(found.prompt_s * 1e3)} ms each"
    steps = f"then {found.output} tokens at {figure(found.step_s * 1e3)} ms"
    rates = f"{figure(found.output_per_s)} tok/s of output, {figure(found.all_per_s)} with prompts"
    line = f"simulated on {found.system}: {prompts}, {steps}: {rates}; claimed {figure(claim.value)}"
    off, off_all = (max(claim.value / each, each / claim.value) for each in (found.output_per_s, found.all_per_s))
    if off <= CLOSE:
        return Finding(Verdict.CONFIRMED, line, factor=1.0)
    if found.output_per_s < claim.value <= found.all_per_s * CLOSE:
        return Finding(Verdict.READING, line, None, off, (), "prompt tokens counted")
    return Finding(Verdict.PLAUSIBLE, line, factor=min(off, off_all))
