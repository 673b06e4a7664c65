"""How far the answer moves when each assumed parameter that a run leans on moves over its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dieshot.simulator.engine.worker import map_in_workers
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.run import run

FIGURES = ("time_to_first_token_s", "time_per_output_token_s", "energy_per_token_j")
Figures = dict[str, float | None]


def sensitivity(
    system: str,
    model: str,
    *,
    sets: Sequence[str] = (),
    processes: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return {system, model, figures, parameters}: the run's own figures, and those at both ends of every range.

    Each of parameters has path, unit, value, range, why, and `low`, `high`: the figures there (None where the chip
    cannot be built so). They are ordered by how far they move the time per output token (to the first, without any).
    options: as for `run`. Parameters move one at a time; what several do together is not told. InputError as `run`.
    """
    summary = run(system, model, sets=sets, **options).summary
    return moves(summary, system, model, sets=sets, processes=processes, progress=progress, **options)


def moves(
    summary: Mapping[str, Any],
    system: str,
    model: str,
    *,
    sets: Sequence[str] = (),
    processes: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return what `sensitivity` does of a run whose summary is there already."""
    own = _figures(summary)
    parameters = [
        dict(each)
        for each in summary["assumed_parameters_read"]
        if each["range"] is not None and not each["path"].startswith("cost.")
    ]
    changes = [_override(each, end) for each in parameters for end in each["range"]]
    simulate = partial(_figures_with, system, model, tuple(sets), options)
    found = map_in_workers(simulate, changes, processes, partial(progress, "runs") if progress else None)
    for each, low, high in zip(parameters, found[::2], found[1::2], strict=True):
        each |= {"low": low, "high": high}
    key = FIGURES[0] if own[FIGURES[1]] is None else FIGURES[1]
    parameters.sort(key=lambda each: (-span(each, key), each["path"]))
    return {"system": summary["system"], "model": summary["model"], "figures": own, "parameters": parameters}


def span(parameter: dict[str, Any], figure: str) -> float:
    """Return how far a figure moves between the ends of a parameter's range; 0 where an end cannot be."""
    ends = [parameter[end] and parameter[end][figure] for end in ("low", "high")]
    return 0.0 if None in ends else abs(ends[1] - ends[0])


def _figures_with(
    system: str, model: str, sets: tuple[str, ...], options: dict[str, Any], change: str
) -> Figures | None:
    try:
        return _figures(run(system, model, sets=(*sets, change), **options).summary)
    except InputError:
        return None


def _figures(summary: Any) -> Figures:
    return {name: summary[name] for name in FIGURES}


def _override(parameter: dict[str, Any], value: float) -> str:
    unit = "" if parameter["unit"] == "1" else parameter["unit"]
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{parameter['path']}={number}{unit}"
