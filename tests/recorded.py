"""A small model run on a system, read back from its file as plain arrays: for tests that add up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dieshot.simulator.params import find_path
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
    config = _model_for(system, folder)
    file = folder / "run.h5"
    asked = {"prompt": PROMPT, "generate": GENERATE, "output": file, **formats}
    done = run(system, str(config), batch=batch, tensor_parallel=tp, pipeline_parallel=pp, **asked)
    with h5py.File(file) as opened:
        return Recorded(done, parts_of(system, config, done), tables_of(opened), int(opened.attrs["duration_fs"]), file)


def _model_for(system: str, folder: Path) -> Path:
    """Return the small model, or the only one that the system's chip has in its ROM."""
    parameters: Any = set_up(system).chip_parameters.values
    if hasattr(parameters, "rom"):
        return find_path("models", parameters.rom.model)
    config = folder / "config.json"
    config.write_text(json.dumps(MODEL))
    return config


def parts_of(system: str, config: Path, done: Run) -> Partition:
    """Return the partition of a micro-batch that a run must have carried out."""
    told, model = done.summary, load_model_config(config)
    degrees = Degrees(told["tensor_parallel"], told["pipeline_parallel"], told["data_parallel"])
    formats = {key: told[key] for key in ("precision", "kv_precision", "sparsity", "density")}
    formats["chunk"] = told["prefill_chunk"]
    batch = told["batch"] // told["micro_batches"] // told["data_parallel"]
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


def placements(recorded: Recorded, stage: int) -> Any:
    """Return how often each cell is placed on one rank of a stage."""
    tables = recorded.tables
    here, times = tables["placements/stage"] == stage, np.zeros(len(tables["cells/duration_fs"]), np.int64)
    np.add.at(times, tables["placements/cell"][here], tables["placements/repeat"][here])
    return times


def placed_sum(recorded: Recorded, stage: int, counter: str) -> int:
    """Sum a counter over all placements of a stage, for one rank."""
    times = placements(recorded, stage).tolist()
    return sum(each.get(counter, 0) * n for each, n in zip(recorded.counters(), times, strict=True))


def cell_amounts(recorded: Recorded) -> dict[str, Any]:
    """Return what the log's intervals themselves add up to, by kind of component and cell."""
    tables, kinds = recorded.tables, np.array(recorded.text("components/kind"))
    n_intervals = tables["cells/n_intervals"]
    cell = np.repeat(np.arange(len(n_intervals)), n_intervals)
    assert (np.cumsum(n_intervals) - n_intervals == tables["cells/first_interval"]).all()
    work = tables["cells/activity/amount"] * tables["cells/activity/repeat"]
    found = {kind: np.zeros(len(n_intervals), np.int64) for kind in kinds.tolist()}
    for kind, sums in found.items():
        chosen = kinds[tables["cells/activity/component"]] == kind
        np.add.at(sums, cell[chosen], work[chosen])
    return found


def amounts(recorded: Recorded, stage: int, kind: str) -> int:
    """Sum the log's intervals themselves over all placements of a stage, for one rank."""
    return int((cell_amounts(recorded)[kind] * placements(recorded, stage)).sum())
