"""Golden totals: the figures of a small run on every system of the catalog. Run this file to record them anew, all or
those of the systems named.

A difference is a change of the model or of its parameters: meant, or a fault. Update only with the reason at hand.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

from dieshot import list_names, run
from dieshot.simulator.errors import InputError

FOLDER = Path(__file__).resolve().parent
PROMPT, GENERATE = 128, 4
MODELS = ("llama-3-8b", "qwen3-0.6b", "llama-3.1-8b")  # the first that fits, or that alone runs
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


def model_of(system: str) -> str:
    """Return the first model that the system has room for."""
    for model in MODELS[:-1]:
        try:
            run(system, model, prompt=1, generate=0)
        except InputError:
            continue
        return model
    return MODELS[-1]


def figures(system: str, model: str) -> dict[str, Any]:
    """Return the figures of the run of a model on a system, rounded to DIGITS significant digits."""
    summary = run(system, model, prompt=PROMPT, generate=GENERATE).summary
    kept = {key: summary[key] for key in SCALARS} | {key: summary[key] for key in SHARES}
    rounded: dict[str, Any] = _rounded(kept)
    return rounded


def golden_file(system: str) -> Path:
    """Return the file that holds the figures of a system, whatever the model."""
    return next(FOLDER.glob(f"*_{system}.json"))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if not isinstance(value, float) or value == 0:
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))


if __name__ == "__main__":
    for name in sys.argv[1:] or list_names("systems"):
        chosen = model_of(name)
        file = FOLDER / f"{chosen}_{name}.json"
        file.write_text(json.dumps(figures(name, chosen), indent=1) + "\n")
        print(file)
