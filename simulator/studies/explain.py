"""Opening a figure: the run behind it, what its parts waited for, and what it hangs on."""

from __future__ import annotations

from typing import Any

from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.point import PointRequest, point
from dieshot.simulator.studies.sensitivity import moves

MOST_OPERATORS = 8


def explain(request: PointRequest, processes: int = 1, progress: Progress | None = None) -> dict[str, Any]:
    """Return {command, refused} of a run that is refused, else also its figures, stalls, bounds and what it leans on.

    stalls: share of the main parts' cycles by what they waited for. operators: those that take the longest.
    energy_j: by kind. parameters: the assumed ones, with the figures at both ends of their ranges (`sensitivity`).
    """
    found = point(request)
    if found.summary is None:
        return {"command": request.command, "refused": found.refused}
    summary = found.figures
    options = {name: value for name, value in request.options.items() if name != "sets"}
    moved = moves(
        summary, request.system, request.model, sets=request.sets, processes=processes, progress=progress, **options
    )
    operators = sorted(summary["operators"], key=lambda each: -each["time_s"])[:MOST_OPERATORS]
    return {
        "command": request.command,
        "refused": None,
        "system": summary["system"],
        "model": summary["model"],
        "figures": moved["figures"],
        "tokens_per_s_user": summary["tokens_per_s_user"],
        "tokens_per_s_system": summary["tokens_per_s_system"],
        "average_power_w": summary["average_power_w"],
        "stalls": summary["stall_fractions"],
        "utilization": summary["utilization"],
        "bounds": summary["bounds"],
        "total_time_s": summary["total_time_s"],
        "energy_j": summary["energy_j"],
        "operators": operators,
        "parameters_read": summary["parameters_read"],
        "assumed_without_range": [each["path"] for each in summary["assumed_parameters_read"] if each["range"] is None],
        "parameters": moved["parameters"],
    }
