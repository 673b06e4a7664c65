"""Rates of whole requests by both ways of counting."""

import pytest

from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.counting import Served, served, served_finding, served_requests
from dieshot.simulator.studies.audit.finding import Verdict
from dieshot.simulator.studies.point import Point

# 10 prompts of 300 tokens take 0.5 s, 99 more steps 1.98 s: 1,000 tokens of output in 2.48 s, 4,000 with prompts
SERVED = Served("x", 10, 300, 100, 0.05, 0.02)


def claim(value: float) -> Claim:
    return Claim("c", "s", "system_tokens_per_s", value, "tok/s", note="300 in, 100 out")


def test_both_ways_of_counting() -> None:
    assert SERVED.output_per_s == pytest.approx(1000 / 2.48)
    assert SERVED.all_per_s == pytest.approx(4000 / 2.48)


@pytest.mark.parametrize(
    ("value", "verdict", "under"),
    [
        (400, Verdict.CONFIRMED, None),
        (1600, Verdict.READING, "prompt tokens counted"),
        (1850, Verdict.READING, "prompt tokens counted"),
        (1870, Verdict.PLAUSIBLE, None),
        (100, Verdict.PLAUSIBLE, None),
    ],
)
def test_a_claim_is_held_against_both(value: float, verdict: Verdict, under: str | None) -> None:
    finding = served_finding(claim(value), SERVED)
    assert (finding.verdict, finding.under) == (verdict, under)
    assert "10 prompts of 300 in 50 ms each, then 100 tokens at 20 ms" in finding.arithmetic


def test_two_runs_are_asked_for_and_put_together() -> None:
    requests = served_requests((300, 100), "cs3", "llama-3.1-8b", 10, ())
    assert [each.command for each in requests] == [
        "dieshot run cs3 llama-3.1-8b --batch 1 --prompt 300 --generate 1",
        "dieshot run cs3 llama-3.1-8b --batch 10 --cached 348 --prompt 1 --generate 2",
    ]
    summaries = ({"time_to_first_token_s": 0.05}, {"time_per_output_token_s": 0.02, "batch": 10})
    found = {request: Point(request, summary, None) for request, summary in zip(requests, summaries, strict=True)}
    assert served(claim(1), requests, found) == Served("cs3", 10, 300, 100, 0.05, 0.02)
    found[requests[0]] = Point(requests[0], None, "does not fit")
    assert served(claim(1), requests, found) is None
