"""Compare simulated TPUs and NeuronCores with what was measured: `python tests/accuracy/systolic.py` prints the tables
(further arguments set parameters of every chip, as `--set` does; `--only attention|neuron|serving` one of them).

Attention rows are one layer on one chip. Neuron rows are medians of a static batch: the time to the first token is a
prefill, that per output token a decode step over the whole cache, which has its final length from the beginning (its
values depend on prompt and answer together alone). Serving rows keep a batch full: every decode step reads the whole
cache that the server keeps for each sequence, and for every finished sequence a new prompt is filled in.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator, build_trace, load_model_config, partition
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

DATA = Path(__file__).parent.parent / "data"
FS_PER_US = 10**9
FS_PER_MS = 10**12
FS_PER_S = 10**15
LLAMA_HEADS = {"heads": 32, "kv_heads": 8, "head_dim": 128, "causal": 1, "window": 0}
PRECISIONS = {"int8": "w8a16", "bf16": "bf16"}  # by the format of the weights
SHAREGPT_PROMPT = 256  # 220 tokens on average, padded to the next power of two
SHAREGPT_ANSWER = 200


@dataclass(frozen=True)
class Comparison:
    """A measured value and the simulated one."""

    label: str
    group: str
    half: str
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Relative error."""
        return self.simulated / self.measured - 1


def table(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of tests/data."""
    with (DATA / name).open() as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def attention_operator(row: dict[str, str]) -> Operator:
    """Return the attention of a row of tpu_v6e_attention.csv."""
    dims = {"batch": int(row["batch"]), "q_len": int(row["q_len"]), "kv_len": int(row["kv_len"]), **LLAMA_HEADS}
    return make_operator("attention", "attention", dims, Formats("bf16", None, "bf16", "bf16"), "rope", shard="heads")


def attention(sets: Sequence[str] = ()) -> Iterator[Comparison]:
    """Yield the rows of attention on one TPU v6e, in us."""
    chip = set_up("tpu-v6e-1", sets).chip
    for row in table("tpu_v6e_attention.csv"):
        outcome = chip.carry_out(attention_operator(row), chip.initial_state, record=False)
        label = f"{row['phase']} {row['batch']} x {row['q_len']}/{row['kv_len']}"
        yield Comparison(label, row["phase"], row["half"], float(row["us"]), outcome.duration_fs / FS_PER_US)


def step_fs(
    system: str, model: str, precision: str, batch: int, prompt: int, decode: bool, sets: Sequence[str] = ()
) -> int:
    """Return the time of one prefill of `prompt` tokens, or of the decode step after as many (fs)."""
    setup = set_up(system, sets)
    degree = setup.system.values.partition.tensor_parallel
    setup = setup.placed(degree, 1)
    config = load_model_config(find_path("models", model))
    # The maker ran models beyond the context that they were trained for.
    config = replace(config, max_position_embeddings=max(config.max_position_embeddings, prompt + 2))
    trace = build_trace(
        config,
        batch=batch,
        prompt=prompt,
        generate=2 if decode else 0,
        precision=precision,
        kv_precision="bf16",
    )
    parts = partition(trace, degree, 1, pad=setup.chip.pads_shards)
    steps = parts.stages[0].steps
    chosen = steps[1:2] if decode else steps[:1]
    setup.chip.prepare([chosen], 1)
    return setup.machine(degree, 1).run([chosen])


def neuron(sets: Sequence[str] = ()) -> Iterator[Comparison]:
    """Yield the rows of Inferentia2 and Trainium1, in ms."""
    for row in table("neuron_latency.csv"):
        yield neuron_row(row, sets)


def neuron_row(row: dict[str, str], sets: Sequence[str] = ()) -> Comparison:
    """Return a row of neuron_latency.csv, in ms."""
    prompt, generate, batch = (int(row[key]) for key in ("prompt", "generate", "batch"))
    decode = row["metric"] == "tpot"
    seen = prompt + generate - 2 if decode else prompt
    simulated = step_fs(row["system"], row["model"], PRECISIONS[row["weights"]], batch, seen, decode, sets)
    label = f"{row['system']} {row['model']} {row['weights']} {batch} x {prompt}+{generate}"
    return Comparison(label, f"{row['system']} {row['metric']}", "", float(row["ms"]), simulated / FS_PER_MS)


def serving(sets: Sequence[str] = ()) -> Iterator[Comparison]:
    """Yield the rows of servers on TPUs, in tokens/s."""
    for row in table("tpu_serving.csv"):
        yield serving_row(row, sets)


def serving_row(row: dict[str, str], sets: Sequence[str] = ()) -> Comparison:
    """Return a row of tpu_serving.csv, in tokens/s."""
    label = f"{row['system']} {row['model']} {row['precision']} batch {row['batch']}"
    simulated = _prefill_rate(row, sets) if row["phase"] == "prefill" else _serving_rate(row, sets)
    return Comparison(label, f"serving {row['phase']}", "", float(row["tokens_per_s"]), simulated)


def _prefill_rate(row: dict[str, str], sets: Sequence[str]) -> float:
    """Return the tokens that are filled in a second."""
    batch, prompt = int(row["batch"]), int(row["cache"])
    duration_fs = step_fs(row["system"], row["model"], row["precision"], batch, prompt, False, sets)
    return batch * prompt / (duration_fs / FS_PER_S)


def _serving_rate(row: dict[str, str], sets: Sequence[str]) -> float:
    """Return the tokens that come out in a second.

    One server fills in one prompt at a time: where only the batch is divided, all systems do the same prefill.
    """
    batch, precision = int(row["batch"]), PRECISIONS[row["precision"]]
    whole = (*sets, f"chip.attention.page={row['cache']}")
    decode = step_fs(row["system"], row["model"], precision, batch, SHAREGPT_PROMPT + SHAREGPT_ANSWER // 2, True, whole)
    prefill = step_fs(row["system"], row["model"], precision, 1, SHAREGPT_PROMPT, False, sets)
    sequences = batch * int(row["data_parallel"])
    return sequences / ((decode + prefill * sequences / SHAREGPT_ANSWER) / FS_PER_S)


def mape(rows: Sequence[Comparison]) -> float:
    """Return the mean absolute percentage error."""
    return 100 * float(np.mean([abs(row.error) for row in rows]))


def report(rows: Sequence[Comparison]) -> None:
    """Print every row, and the errors by group and half."""
    for row in rows:
        print(f"{row.group:16} {row.label:48} {row.measured:10.2f} {row.simulated:10.2f} {100 * row.error:+7.1f} %")
    groups = list(dict.fromkeys((row.group, row.half) for row in rows))
    print("| rows | half | number | MAPE % | bias % |\n|---|---|---|---|---|")
    for group, half in groups:
        mine = [row for row in rows if (row.group, row.half) == (group, half)]
        bias = 100 * float(np.mean([row.error for row in mine]))
        print(f"| {group} | {half} | {len(mine)} | {mape(mine):.1f} | {bias:+.1f} |")


TABLES = {"attention": attention, "neuron": neuron, "serving": serving}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=tuple(TABLES))
    parser.add_argument("sets", nargs="*")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else list(TABLES):
        report(list(TABLES[name](arguments.sets)))
