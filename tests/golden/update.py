"""Golden totals: the figures of a small run on every system of the catalog. Run this file to record them anew.

A difference is a change of the model or of its parameters: meant, or a fault. Update only with the reason at hand.
"""

import json
import math
from pathlib import Path
from typing import Any

from dieshot import list_names, run

FOLDER = Path(__file__).resolve().parent
MODEL, PROMPT, GENERATE = "llama-3-8b", 128, 4
SCALARS = (
    "tensor_parallel",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "tokens_per_s_system",
    "energy_per_token_j",
    "average_power_w",
    "cycles",
)
SHARES = ("utilization", "stall_fractions", "energy_j", "bounds")
DIGITS = 9


def figures(system: str) -> dict[str, Any]:
    """Return the figures of the run on a system, rounded to DIGITS significant digits."""
    summary = run(system, MODEL, prompt=PROMPT, generate=GENERATE).summary
    kept = {key: summary[key] for key in SCALARS} | {key: summary[key] for key in SHARES}
    rounded: dict[str, Any] = _rounded(kept)
    return rounded


def golden_file(system: str) -> Path:
    """Return the file that holds the figures of a system."""
    return FOLDER / f"{MODEL}_{system}.json"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if not isinstance(value, float) or value == 0:
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))


if __name__ == "__main__":
    for name in list_names("systems"):
        golden_file(name).write_text(json.dumps(figures(name), indent=1) + "\n")
        print(golden_file(name))
