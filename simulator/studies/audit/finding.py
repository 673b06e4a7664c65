"""Findings about a claim, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a finding says of a claim, the gravest first."""

    ABOVE = "above bound"
    CONTRADICTS = "contradicts"
    READING = "reachable only under"
    CONFIRMED = "confirmed"
    PLAUSIBLE = "plausible"
    UNCHECKED = "not checkable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one claim.

    arithmetic: the check in one line, with its numbers. bound: the resource that a bound is of. factor: how far the
    claim is off, 1 where it is not. against: claims, or 'published', that it does not go together with. under: the
    reading of the claim that is possible. charged: False where the other side of a contradiction is at fault.
    sources: ids of the sources of the figures that it rests on.
    """

    verdict: Verdict
    arithmetic: str
    bound: str | None = None
    factor: float | None = None
    against: tuple[str, ...] = ()
    under: str | None = None
    charged: bool = True
    sources: tuple[str, ...] = ()

    def node(self) -> dict[str, Any]:
        """Return the finding ready for JSON."""
        return asdict(self) | {
            "verdict": str(self.verdict),
            "against": list(self.against),
            "sources": list(self.sources),
        }


_GRAVITY = {verdict: index for index, verdict in enumerate(Verdict)}


def gravest(findings: Sequence[Finding]) -> Finding:
    """Return the finding that sets the verdict; among equals the one that is farthest off."""
    charged = [each for each in findings if each.charged]
    return min(charged, key=lambda each: (_GRAVITY[each.verdict], -(each.factor or 0.0)))


def said(finding: Finding, longest: int = 3) -> str:
    """Return a finding as a verdict in words."""
    if finding.verdict is Verdict.ABOVE:
        times = "" if finding.factor is None or math.isinf(finding.factor) else f", {figure(finding.factor)}x"
        return f"above bound: {finding.bound}{times}"
    if finding.verdict is Verdict.CONTRADICTS:
        more = f" and {len(finding.against) - longest} more" if len(finding.against) > longest else ""
        return f"contradicts {', '.join(finding.against[:longest])}{more}"
    if finding.verdict is Verdict.READING:
        return f"reachable only under {finding.under}"
    return str(finding.verdict)


def summed_up(findings: Sequence[Finding]) -> str:
    """Return the verdict in words, and the reading under which a claim is possible all the same if there is one."""
    verdict = gravest(findings)
    words = said(verdict)
    readings = [each for each in findings if each.verdict is Verdict.READING and each.charged]
    if verdict.verdict is Verdict.CONTRADICTS and readings:
        words += f"; {said(gravest(readings))}"
    return words


def figure(value: float) -> str:
    """Return a number with three or four significant digits, as people write it."""
    if not math.isfinite(value):
        return "infinite"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e9:
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{round(value, 3 - math.floor(math.log10(abs(value)))):,.0f}"
    return f"{value:.3g}"
