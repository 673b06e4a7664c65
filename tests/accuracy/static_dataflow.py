"""Compare simulated LPUs with what services show: `python tests/accuracy/static_dataflow.py` prints three tables
(further arguments set parameters, as `--set` does; `--only services|power|sensitivity` one of them).

Services tell tokens per second of a user, not the chips, the users that share them, or what their front end adds; the
simulated figure is that of the chips alone, so it has to come out faster. Nothing is fitted to them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dieshot.chips.static_dataflow import StaticDataflow
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.sensitivity import sensitivity
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator, build_trace, load_model_config, partition
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

DATA = Path(__file__).parent.parent / "data" / "groq_api.csv"
PROMPT, GENERATE = 128, 3
WHERE = {"prompt": PROMPT, "generate": GENERATE}
FJ_PER_JOULE = 10**15
FS_PER_S = 10**15
MW_PER_W = 1000
ACTING = ("install", "link", "vector", "permute", "sram")  # kinds of units, in the order in which cycles are told
KEPT_BUSY = 128  # rows of the products that keep a chip busy


@dataclass(frozen=True)
class Comparison:
    """Tokens per second of one user: shown by a service, simulated alone on the system and with all stages in use."""

    model: str
    system: str
    shown: float
    kind: str
    alone: float
    full: float


def services(sets: Sequence[str] = ()) -> Iterator[Comparison]:
    """Yield the rows of the table with what is simulated for them."""
    with DATA.open() as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            alone = 1 / step_s(row["system"], row["model"], sets)
            full = 1 / round_s(row["system"], row["model"], sets)
            yield Comparison(row["model"], row["system"], float(row["tokens_per_s_user"]), row["kind"], alone, full)


@cache
def stage_times_s(system: str, model: str, sets: tuple[str, ...] = ()) -> list[float]:
    """Return what every stage takes for one token of one user."""
    setup = set_up(system, sets)
    degrees = setup.system.values.partition
    config = load_model_config(find_path("models", model))
    stages = min(degrees.pipeline_parallel or config.num_hidden_layers, config.num_hidden_layers)
    setup = setup.placed(degrees.tensor_parallel, 1)
    precision, cache = setup.system.values.precision or "w8a16", setup.system.values.kv_precision or "bf16"
    trace = build_trace(config, batch=1, generate=2, prompt=PROMPT, precision=precision, kv_precision=cache)
    chip, times = setup.chip, []
    for stage in partition(trace, degrees.tensor_parallel, stages).stages:
        total_fs = 0
        for block in stage.steps[1].blocks:
            outcomes = chip.carry_out_all(block.operators, chip.initial_state)
            total_fs += block.repeat * sum(each.duration_fs for each in outcomes)
        times.append(total_fs / FS_PER_S)
    return times


def step_s(system: str, model: str, sets: Sequence[str] = ()) -> float:
    """Return the time of a token of a single user."""
    return sum(stage_times_s(system, model, tuple(sets)))


def round_s(system: str, model: str, sets: Sequence[str] = ()) -> float:
    """Return the time of a token of each of as many users as there are stages: the longest stage serves them in
    turn."""
    times = stage_times_s(system, model, tuple(sets))
    return max(sum(times), len(times) * max(times))


def power_w(precision: str, rows: int, sets: Sequence[str] = ()) -> float:
    """Return the power of one chip that multiplies `rows` vectors by a matrix, again and again."""
    setup = set_up("groq-8", sets).placed(8, 1)
    chip = setup.chip
    assert isinstance(chip, StaticDataflow)
    data, weight = {"w8a16": ("bf16", "int8"), "int8": ("int8", "int8"), "fp16": ("fp16", "fp16")}[precision]
    dims = {"M": rows, "N": 3584, "K": 8192, "bias": 0}
    operator: Operator = make_operator("gemm", "gemm", dims, Formats(data, weight, "bf16"), "x")
    (cell,) = chip.carry_out(operator, chip.initial_state).cells
    kinds = [spec.kind for spec in chip.components()]
    work = (cell.activity.amount * cell.activity.repeat).tolist()
    placed = zip(cell.activity.component.tolist(), work, strict=True)
    energy_fj = sum(amount * cell.fj_per_amount.get(kinds[component], 0) for component, amount in placed)
    return float(energy_fj / cell.duration_fs + chip.parameters.power.idle / MW_PER_W)


def breakdown(system: str, model: str, sets: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the operators of the decode steps of a run, longest first."""
    rows: list[dict[str, Any]] = run(system, model, sets=sets, **WHERE).summary["operators"]  # type: ignore[arg-type]
    return [row for row in rows if row["phase"] == "decode"]


def shares(system: str, model: str, sets: Sequence[str] = ()) -> dict[str, float]:
    """Return what the cycles of a layer go to, for one user: the first of these that is going on, in this order."""
    setup = set_up(system, sets)
    degrees, config = setup.system.values.partition, load_model_config(find_path("models", model))
    chip = setup.placed(degrees.tensor_parallel, 1).chip
    trace = build_trace(config, batch=1, generate=2, prompt=PROMPT, precision="w8a16")
    stages = partition(trace, degrees.tensor_parallel, 2).stages
    layers = next(block for block in stages[0].steps[1].blocks if block.name == "layers")
    kinds = [spec.kind for spec in chip.components()]
    period_fs = chip.machine.period_fs
    counts = dict.fromkeys((*ACTING, "hops and flight"), 0)
    for outcome in chip.carry_out_all(layers.operators, chip.initial_state):
        for cell in outcome.cells:
            going_on = np.zeros((len(ACTING), cell.duration_fs // period_fs), np.bool_)
            activity = cell.activity
            for line, start, end, n, d in zip(
                activity.component, activity.start_fs, activity.end_fs, activity.repeat, activity.period_fs, strict=True
            ):
                if kinds[line] in ACTING:
                    for turn in range(n):
                        at = (start + turn * d) // period_fs
                        going_on[ACTING.index(kinds[line]), at : at + (end - start) // period_fs] = True
            first = np.where(going_on.any(axis=0), going_on.argmax(axis=0), len(ACTING))
            for name, count in zip(counts, np.bincount(first, minlength=len(counts)), strict=True):
                counts[name] += int(count)
    return {name: count / sum(counts.values()) for name, count in counts.items()}


def _print_services(sets: Sequence[str]) -> None:
    print("tokens/s of a user      shown              alone  stages full")
    for row in services(sets):
        print(f"{row.model:14} {row.system:9} {row.shown:5.0f} {row.kind:9} {row.alone:9.0f} {row.full:9.0f}")
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares("groq-576", "llama-3-70b", sets).items())
    print(f"\nllama-3-70b on groq-576, cycles of a layer in which goes on: {told}")
    steps = GENERATE - 1
    print("\nllama-3-70b on groq-576, a token of a single user")
    for each in breakdown("groq-576", "llama-3-70b", sets):
        print(f"  {each['name']:22} {each['time_s'] / steps * 1e6:8.1f} us")


def _print_power(sets: Sequence[str]) -> None:
    print("\npower of a chip, W (published: 185 average, 215 thermal design)")
    for precision in ("w8a16", "fp16", "int8"):
        busy = [f"{power_w(precision, rows, sets):.0f} with {rows} rows" for rows in (1, KEPT_BUSY)]
        print(f"  {precision:6} {', '.join(busy)}")


def _print_sensitivity(sets: Sequence[str]) -> None:
    found = sensitivity("groq-576", "llama-3-70b", sets=sets, **WHERE)
    token_s = found["figures"]["time_per_output_token_s"]
    print(f"\ntime per output token {token_s * 1e6:.0f} us; change over the range of each assumed parameter")
    for each in found["parameters"]:
        ends = [each[end] and each[end]["time_per_output_token_s"] / token_s - 1 for end in ("low", "high")]
        energy = [
            each[end] and each[end]["energy_per_token_j"] / found["figures"]["energy_per_token_j"] - 1
            for end in ("low", "high")
        ]
        told = "  ".join("   cannot be" if end is None else f"{end:+7.1%}" for end in (*ends, *energy))
        print(f"  {each['path']:32} {each['range']!s:16} time {told} energy")
    direct = step_s("groq-576", "llama-3-70b", (*sets, "chip.vxm.weight_conversion=mxm"))
    print(f"  chip.vxm.weight_conversion = mxm: {direct * 1e6:.0f} us")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--only", choices=("services", "power", "sensitivity"))
    arguments = parser.parse_args()
    tables = {"services": _print_services, "power": _print_power, "sensitivity": _print_sensitivity}
    for name, table in tables.items():
        if arguments.only in (None, name):
            table(arguments.sets)


if __name__ == "__main__":
    main()
