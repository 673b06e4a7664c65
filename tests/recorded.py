"""A small model run on a system, read back from its file as plain arrays: for tests that add up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import Degrees, split
from dieshot.traces import Partition, Trace, build_trace, load_model_config

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "intermediate_size": 1536,
    "vocab_size": 3008,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
PROMPT, GENERATE = 150, 5


@dataclass(frozen=True)
class Recorded:
    """A run, the partition it carried out, and its file's tables as plain arrays."""

    run: Run
    parts: Partition
    tables: dict[str, Any]
    duration_fs: int
    file: Path

    @property
    def micro_batches(self) -> int:
        """How often a stage carries out a step."""
        return int(self.run.summary["micro_batches"])

    def text(self, column: str) -> list[str]:
        """Return a column of texts."""
        return [value.decode().rstrip("\0") for value in self.tables[column].tolist()]

    def counters(self) -> list[dict[str, int]]:
        """Return the counters of every cell."""
        return [json.loads(text) for text in self.text("cells/counters")]


def record(
    system: str, folder: Path, batch: int, tp: int | None = None, pp: int | None = None, **formats: Any
) -> Recorded:
    """Run the small model on a system with its own precision and partition, or another, and read the file.

    formats: precision, kv_precision, sparsity and density as for a run.
    """
    config = folder / "config.json"
    config.write_text(json.dumps(MODEL))
    file = folder / "run.h5"
    asked = {"prompt": PROMPT, "generate": GENERATE, "output": file, **formats}
    done = run(system, str(config), batch=batch, tensor_parallel=tp, pipeline_parallel=pp, **asked)
    with h5py.File(file) as opened:
        return Recorded(done, parts_of(system, config, done), tables_of(opened), int(opened.attrs["duration_fs"]), file)


def parts_of(system: str, config: Path, done: Run) -> Partition:
    """Return the partition of a micro-batch that a run must have carried out."""
    told, model = done.summary, load_model_config(config)
    degrees = Degrees(told["tensor_parallel"], told["pipeline_parallel"])
    formats = {key: told[key] for key in ("precision", "kv_precision", "sparsity", "density")}
    formats["chunk"] = told["prefill_chunk"]
    batch = told["batch"] // told["micro_batches"]
    trace: Trace = build_trace(model, batch=batch, prompt=PROMPT, generate=GENERATE, **formats)
    return split(set_up(system), trace, degrees, told["micro_batches"]).parts


def tables_of(file: h5py.File) -> dict[str, Any]:
    """Return all datasets by name."""
    out: dict[str, Any] = {}
    file.visititems(lambda name, item: out.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return out


def operators_of(parts: Partition, stage: int) -> Iterator[tuple[Any, int]]:
    """Yield every operator that one rank of a stage carries out, and how often."""
    for step in parts.stages[stage].steps:
        for block in step.blocks:
            for operator in block.operators:
                yield operator, block.repeat


def placed_sum(recorded: Recorded, stage: int, counter: str) -> int:
    """Sum a counter over all placements of a stage, for one rank."""
    tables, counters = recorded.tables, recorded.counters()
    rows = zip(tables["placements/cell"], tables["placements/repeat"], tables["placements/stage"], strict=True)
    return sum(counters[cell].get(counter, 0) * int(repeat) for cell, repeat, where in rows if where == stage)


def amounts(recorded: Recorded, stage: int, kind: str) -> int:
    """Sum the log's intervals themselves over all placements of a stage, for one rank."""
    tables = recorded.tables
    wanted = np.array([text == kind for text in recorded.text("components/kind")])
    total = 0
    rows = zip(tables["placements/cell"], tables["placements/repeat"], tables["placements/stage"], strict=True)
    for cell, repeat, where in rows:
        first, n = tables["cells/first_interval"][cell], tables["cells/n_intervals"][cell]
        one = slice(first, first + n)
        chosen = wanted[tables["cells/activity/component"][one]]
        work = tables["cells/activity/amount"][one] * tables["cells/activity/repeat"][one]
        total += int(work[chosen].sum()) * int(repeat) if where == stage else 0
    return total
