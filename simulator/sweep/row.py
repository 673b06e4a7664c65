"""A run as one flat row of a table: what was asked for, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, str | int | float | bool | None]

FIGURES = (
    "chips",
    "fabric",
    "precision",
    "kv_precision",
    "tensor_parallel",
    "pipeline_parallel",
    "data_parallel",
    "micro_batches",
    "prefill_chunk",
    "total_time_s",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "tokens_per_s_user",
    "tokens_per_s_system",
    "tokens_per_s_system_with_prompt",
    "energy_per_token_j",
    "average_power_w",
    "static_power_w",
    "chip_power_w",
    "cycles",
)
BY_KIND = {"utilization": "utilization_{}", "stall_fractions": "{}", "energy_j": "energy_{}_j", "bounds": "bound_{}"}
COST = "usd_per_mtoken"


def figures_of(summary: Mapping[str, Any]) -> Row:
    """Return the flat figures of a summary: the same for the same run, whoever made it.

    Figures by kind of part or state have a column each, such as `utilization_tensor`, `stall_memory` (a share of the
    main part's cycles), `energy_hbm_j`, `bound_roofline_s`.
    """
    row: Row = {name: summary[name] for name in FIGURES}
    row[COST] = summary["cost"][COST] if summary["cost"] else None
    for group, column in BY_KIND.items():
        row |= {column.format(kind): value for kind, value in summary[group].items()}
    return row
