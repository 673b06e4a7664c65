"""What `dieshot audit` shows: the table of all claims, or one claim opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure, said
from dieshot.simulator.studies.audit.simulated import Simulated
from dieshot.simulator.studies.audit.study import Audited, audit, counted, judged_claims, source_titles
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.point import PointRequest, point
from dieshot.simulator.studies.sensitivity import sensitivity

MOST_PARAMETERS = 12
_NAMED = ("batch", "prompt", "generate", "cached", "precision", "kv_precision", "tensor_parallel", "pipeline_parallel",
          "prefill_chunk")  # fmt: skip


def reported(
    claims: Path | None, *, only: str | None, simulate: bool, processes: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Return {claims, verdicts, runs}: all claims as nodes with what a table shows of them; see `study.audit`."""
    found = audit(claims, only=only, simulate=simulate, processes=processes, progress=progress)
    commands = {run.request.command for each in found for run in each.runs}
    return {"claims": [_row(each) for each in found], "verdicts": counted(found), "runs": len(commands)}


def _row(audited: Audited) -> dict[str, Any]:
    claim = audited.claim
    shown = [figure(run.value) for run in audited.runs if run.value is not None]
    refused = [run.refused for run in audited.runs if run.value is None]
    return audited.node() | {
        "figure": f"{figure(claim.value)} {claim.unit}",
        "shown": " / ".join(shown) or ("refused" if refused else "-"),
        "against": _against(audited),
        "said": said(audited.verdict),
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
    """Return {claim, findings, runs} of one claim: its arithmetic with titles of sources, and its runs opened.

    Each run has its command, figures, the states of its cycles, and how far its answer moves over the ranges of what is
    assumed. InputError where no claim has the id.
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
        "runs": [_run(run, processes, progress) for run in found.runs],
    }


def _opened(finding: Finding) -> dict[str, Any]:
    blame = "" if finding.charged else " (the other side is at fault)"
    return finding.node() | {"verdict": said(finding, 99) + blame, "source_titles": source_titles(finding.sources)}


def _run(run: Simulated, processes: int, progress: Progress | None) -> dict[str, Any]:
    opened: dict[str, Any] = {"command": run.request.command, "refused": run.refused, "value": run.value}
    if run.refused is not None:
        return opened | {"figures": {}, "states": {}, "parameters": []}
    summary = point(run.request).figures
    figures = {
        "time per output token": f"{figure(summary['time_per_output_token_s'] * 1e3)} ms",
        "tokens/s of a user": figure(summary["tokens_per_s_user"]),
        "tokens/s of all users": figure(summary["batch"] * summary["tokens_per_s_user"]),
        "energy per token": f"{figure(summary['energy_per_token_j'])} J",
        "power of a chip": f"{figure(summary['chip_power_w'])} W",
        "chips": str(summary["chips"]),
    }
    states = {state: f"{100 * share:.1f} %" for state, share in summary["stall_fractions"].items()}
    return opened | {"figures": figures, "states": states, "parameters": _moved(run.request, processes, progress)}


def _moved(request: PointRequest, processes: int, progress: Progress | None) -> list[dict[str, str]]:
    """Return how far time and energy of a run move over the ranges of its assumed parameters, the farthest first."""
    options = {name: getattr(request, name) for name in _NAMED}
    found = sensitivity(
        request.system, request.model, sets=request.sets, processes=processes, progress=progress, **options
    )
    own = found["figures"]
    return [
        {
            "path": each["path"],
            "value": f"{figure(each['value'])} {each['unit']}",
            "range": f"{figure(each['range'][0])} to {figure(each['range'][1])}",
            "time": _shift(each, own, "time_per_output_token_s"),
            "energy": _shift(each, own, "energy_per_token_j"),
        }
        for each in found["parameters"][:MOST_PARAMETERS]
    ]


def _shift(parameter: Mapping[str, Any], own: Mapping[str, float], name: str) -> str:
    ends = (parameter[end] and parameter[end][name] for end in ("low", "high"))
    return " to ".join("impossible" if end is None else f"{end / own[name] - 1:+.1%}" for end in ends)
