"""A whole run adds up: work in the log against work in the trace, energy against a sum done by hand from the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dieshot.simulator.engine.cell import BUSY, STATES
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.run import run
from dieshot.traces import Partition, build_trace, load_model_config, partition

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 1536,
    "vocab_size": 3000,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
WORK = {"batch": 2, "prompt": 150, "generate": 5, "precision": "fp8", "kv_precision": "bf16"}
SYSTEM = "dgx-h100"
FJ_PER_JOULE = 10**15


@dataclass(frozen=True)
class Recorded:
    """A run, the partition it carried out, and its file's tables as plain arrays."""

    run: Run
    parts: Partition
    tables: dict[str, Any]
    duration_fs: int

    def text(self, column: str) -> list[str]:
        return [value.decode().rstrip("\0") for value in self.tables[column].tolist()]

    def counters(self) -> list[dict[str, int]]:
        return [json.loads(text) for text in self.text("cells/counters")]


def tables_of(file: h5py.File) -> dict[str, Any]:
    out: dict[str, Any] = {}
    file.visititems(lambda name, item: out.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return out


@pytest.fixture(scope="module", params=[(1, 1), (4, 2)], ids=["one chip", "4 x 2 chips"])
def recorded(request: Any, tmp_path_factory: Any) -> Iterator[Recorded]:
    tp, pp = request.param
    folder: Path = tmp_path_factory.mktemp("run")
    config = folder / "config.json"
    config.write_text(json.dumps(MODEL))
    done = run(SYSTEM, str(config), output=folder / "run.h5", tensor_parallel=tp, pipeline_parallel=pp, **WORK)  # type: ignore[arg-type]
    trace = build_trace(load_model_config(config), **WORK)  # type: ignore[arg-type]
    with h5py.File(folder / "run.h5") as file:
        yield Recorded(done, partition(trace, tp, pp), tables_of(file), int(file.attrs["duration_fs"]))


def operators_of(parts: Partition, stage: int) -> Iterator[tuple[Any, int]]:
    """Yield every operator that one rank of a stage carries out, and how often."""
    for step in parts.stages[stage].steps:
        for block in step.blocks:
            for operator in block.operators:
                yield operator, block.repeat


def placed_sum(recorded: Recorded, stage: int, counter: str) -> int:
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


def test_all_matrix_work_of_the_trace_is_in_the_log(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        issued = placed_sum(recorded, stage, "macs_issued")
        assert amounts(recorded, stage, "tensor") == issued
        gemms = [(op, n) for op, n in operators_of(recorded.parts, stage) if op.kind == "gemm"]
        assert placed_sum(recorded, stage, "macs") == sum(op.macs * n for op, n in gemms)
        assert issued >= sum(op.macs * n for op, n in operators_of(recorded.parts, stage))


def test_weights_and_cache_come_from_memory(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        needed = sum((op.weight_bytes + op.kv_read_bytes) * n for op, n in operators_of(recorded.parts, stage))
        assert placed_sum(recorded, stage, "hbm_read_bytes") >= needed
        written = sum((op.output_bytes + op.kv_write_bytes) * n for op, n in operators_of(recorded.parts, stage))
        collectives = ("all_reduce", "all_gather", "send_recv")
        sent = sum(op.output_bytes * n for op, n in operators_of(recorded.parts, stage) if op.kind in collectives)
        assert placed_sum(recorded, stage, "hbm_write_bytes") >= written - sent


def test_the_log_holds_the_bytes_that_the_counters_say(recorded: Recorded) -> None:
    for stage in range(len(recorded.parts.stages)):
        l2 = placed_sum(recorded, stage, "l2_read_bytes") + placed_sum(recorded, stage, "l2_write_bytes")
        assert amounts(recorded, stage, "l2") == l2
        dram = placed_sum(recorded, stage, "hbm_read_bytes") + placed_sum(recorded, stage, "hbm_write_bytes")
        assert amounts(recorded, stage, "hbm_channel") == dram


def test_every_operator_is_carried_out(recorded: Recorded) -> None:
    tables = recorded.tables
    for stage in range(len(recorded.parts.stages)):
        wanted = sum(n for _, n in operators_of(recorded.parts, stage))
        assert tables["operators/repeat"][tables["operators/stage"] == stage].sum() == wanted


def test_placements_of_a_stage_fill_its_steps_without_overlap(recorded: Recorded) -> None:
    tables = recorded.tables
    for stage in range(len(recorded.parts.stages)):
        spans = []
        columns = (tables[f"placements/{name}"] for name in ("cell", "start_fs", "repeat", "stride_fs", "stage"))
        for cell, start, repeat, stride, where in zip(*columns, strict=True):
            duration = int(tables["cells/duration_fs"][cell])
            if where == stage:
                spans += [
                    (int(start) + i * int(stride), int(start) + i * int(stride) + duration) for i in range(repeat)
                ]
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert spans[-1][1] <= recorded.duration_fs
        n_gaps = sum(end < start for (_, end), (start, _) in pairwise(spans))
        assert n_gaps == WORK["generate"] - 1  # type: ignore[operator]


def test_energy_is_the_sum_over_the_file(recorded: Recorded) -> None:
    kinds, energy_fj = recorded.text("components/kind"), {}
    fj = [json.loads(text) for text in recorded.text("cells/fj_per_amount")]
    tables, stages = recorded.tables, recorded.parts.stages
    rows = zip(tables["placements/cell"], tables["placements/repeat"], tables["placements/stage"], strict=True)
    for cell, repeat, stage in rows:
        first, n = int(tables["cells/first_interval"][cell]), int(tables["cells/n_intervals"][cell])
        times = int(repeat) * stages[stage].tensor_parallel
        for i in range(first, first + n):
            amount = int(tables["cells/activity/amount"][i]) * int(tables["cells/activity/repeat"][i])
            kind = kinds[tables["cells/activity/component"][i]] if amount else ""
            if amount:
                energy_fj[kind] = energy_fj.get(kind, 0) + amount * fj[cell].get(kind, 0) * times
    static = tables["components/static_fj_per_cycle"] * tables["components/count"]
    cycles = -(-recorded.duration_fs // tables["components/clock_period_fs"])
    n_chips = sum(stage.tensor_parallel for stage in stages)
    energy_fj["static"] = sum(int(a) * int(b) for a, b in zip(static, cycles, strict=True)) * n_chips
    told = {kind: joules for kind, joules in recorded.run.summary["energy_j"].items() if joules}
    assert told == {kind: total / FJ_PER_JOULE for kind, total in energy_fj.items() if total}
    n_tokens = recorded.run.summary["batch"] * WORK["generate"]
    assert recorded.run.summary["energy_per_token_j"] == sum(energy_fj.values()) / FJ_PER_JOULE / n_tokens


def test_every_cycle_of_every_component_is_accounted_for(recorded: Recorded) -> None:
    cycles = recorded.tables["cells/totals/cycles"]
    period_fs = recorded.tables["components/clock_period_fs"]
    whole = -(-recorded.tables["cells/duration_fs"][:, None] // period_fs[None, :])
    assert cycles.shape[2] == len(STATES)
    assert (cycles >= 0).all()
    assert (cycles.sum(axis=2) == whole).all()
    assert cycles[:, :, BUSY].any()


def test_the_time_lies_between_its_bounds(recorded: Recorded) -> None:
    summary = recorded.run.summary
    bounds = summary["bounds"]
    assert (
        bounds["roofline_s"] / len(recorded.parts.stages) <= summary["total_time_s"] <= bounds["serial_s"] * (1 + 1e-12)
    )
