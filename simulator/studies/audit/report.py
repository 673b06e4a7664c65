"""What `dieshot audit` shows: the table of all claims, or one claim opened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure, said, summed_up
from dieshot.simulator.studies.audit.study import Audited, audit, counted, judged_claims, source_titles
from dieshot.simulator.studies.explain import explain
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.point import PointRequest


def reported(
    claims: Path | None, *, only: str | None, simulate: bool, processes: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Return {claims, verdicts, runs}: all claims as nodes with what a table shows of them; see `study.audit`."""
    found = audit(claims, only=only, simulate=simulate, processes=processes, progress=progress)
    commands = {run.request.command for each in found for run in each.runs}
    return {"claims": [_row(each) for each in found], "verdicts": counted(found), "runs": len(commands)}


def _row(audited: Audited) -> dict[str, Any]:
    claim = audited.claim
    shown = [f"{figure(run.value)} ({run.request.batch})" for run in audited.runs if run.value is not None]
    if claim.workload and len(shown) == len(audited.runs) == 2:
        shown = [f"{figure(audited.runs[1].value or 0)} output / {figure(audited.runs[0].value or 0)} with prompts"]
    refused = [run.refused for run in audited.runs if run.value is None]
    return audited.node() | {
        "figure": f"{claim.value:,.10g} {claim.unit}",
        "shown": " / ".join(shown) or ("refused" if refused else "-"),
        "against": _against(audited),
        "said": summed_up(audited.findings),
    }


def _against(audited: Audited) -> str:
    """Return the arithmetic that the table shows: of the bound if there is one, else of the verdict."""
    bounded = [each for each in audited.findings if each.bound is not None]
    shown: Finding = audited.verdict
    if shown.bound is None and shown.verdict in (Verdict.PLAUSIBLE, Verdict.UNCHECKED) and bounded:
        shown = bounded[0]
    return shown.arithmetic


def explained(
    id: str, claims: Path | None, *, simulate: bool, processes: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Return {claim, findings, commands, run} of one claim: its arithmetic with titles of sources, and its run opened.

    commands: those of all runs that it was held against. run: the one nearest to the claim, as `explain` tells it; None
    where there is none. InputError where no claim has the id.
    """
    ids = [each.id for each in judged_claims(claims)]
    if id not in ids:
        raise InputError(
            "no such claim", key="--explain", value=id, expected="a claim's id", nearest=nearest_name(id, ids)
        )
    found = next(each for each in audit(claims, only=id, simulate=simulate, processes=processes) if each.claim.id == id)
    claim = found.claim
    about = {
        name: getattr(claim, name) for name in claim.__dataclass_fields__ if getattr(claim, name) not in (None, "")
    }
    about |= {"article": "; ".join(source_titles(claim.article.split(";"))), "verdict": said(found.verdict, 99)}
    order = list(Verdict)
    findings = sorted(found.findings, key=lambda each: (not each.charged, order.index(each.verdict)))
    return {
        "claim": about,
        "findings": [_opened(each) for each in findings],
        "commands": [run.request.command for run in found.runs],
        "run": explain(_nearest(found), processes, progress) if found.runs else None,
    }


def _opened(finding: Finding) -> dict[str, Any]:
    blame = "" if finding.charged else " (the other side is at fault)"
    return finding.node() | {"verdict": said(finding, 99) + blame, "source_titles": source_titles(finding.sources)}


def _nearest(found: Audited) -> PointRequest:
    """Return the run whose figure is nearest to the claim's; the first where none has one."""
    values = [(run.request, run.value) for run in found.runs if run.value and found.claim.value]
    if not values:
        return found.runs[0].request
    return min(values, key=lambda pair: abs(math.log(pair[1] / found.claim.value)))[0]
