"""All systems side by side, beside what is published of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from dieshot.simulator.engine.worker import map_in_workers
from dieshot.simulator.params import find_path, list_names
from dieshot.simulator.studies.explain import explain
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.point import decode_point
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.spectrum.published import published_figures
from dieshot.simulator.studies.spectrum.rank import order_of_published
from dieshot.simulator.studies.spectrum.survey import Survey, survey
from dieshot.traces import load_model_config

DEFAULT_MODEL = "llama-3-70b"
DEFAULT_CONTEXT = 1088  # 1,024 tokens in, half of 128 out
DEFAULT_TPOT_LIMIT_S = 0.05


def spectrum(
    model: str = DEFAULT_MODEL,
    systems: Sequence[str] = (),
    *,
    context: int = DEFAULT_CONTEXT,
    tpot_limit_s: float = DEFAULT_TPOT_LIMIT_S,
    sets: Sequence[str] = (),
    processes: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return {model, context, tpot_limit_s, systems, order}: a row for each system, fastest single stream first.

    systems: names of the catalog or files, all of the catalog if none. context: tokens that a sequence holds in the
    step that is timed, its own counted. tpot_limit_s: what a token may take where users share a system. sets: overrides
    for all systems, such as "cost.electricity=0.1USD/kWh". A row has what `survey` says and `published`: figures of
    others for the system, not used for anything but to stand beside. Rows of systems that cannot run the model come
    last.
    """
    load_model_config(find_path("models", model))
    names = list(systems) or list_names("systems")
    for name in names if systems else names[:1]:
        set_up(name, sets)  # what is wrong with the input is told at once, not as a refusal
    asked = Survey(model, context, tpot_limit_s, tuple(sets))
    told = partial(progress, "systems") if progress else None
    rows = map_in_workers(partial(survey, asked), names, processes, told)
    figures = published_figures()
    for row in rows:
        row["published"] = [each.record() for each in figures if each.of(row["system"], row["model"] or model)]
    rows.sort(key=_place)
    return {
        "model": model,
        "context": context,
        "tpot_limit_s": tpot_limit_s,
        "systems": rows,
        "order": order_of_published(rows, figures),
    }


def explain_row(
    system: str,
    model: str = DEFAULT_MODEL,
    *,
    context: int = DEFAULT_CONTEXT,
    tpot_limit_s: float = DEFAULT_TPOT_LIMIT_S,
    sets: Sequence[str] = (),
    processes: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the explanation (`studies.explain`) of a system's single stream, with its row of the spectrum as `row`."""
    (row,) = spectrum(model, [system], context=context, tpot_limit_s=tpot_limit_s, sets=sets)["systems"]
    request = decode_point(system, row["model"] or model, 1, context, sets=tuple(sets))
    return explain(request, processes, progress) | {"row": row}


def _place(row: dict[str, Any]) -> tuple[bool, float, str]:
    return row["refused"] is not None, -(row.get("tokens_per_s_user") or 0.0), row["system"]
