"""Every system of the catalog: a run adds up, keeps its bounds and gives the same bytes again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from recorded import GENERATE, Recorded, amounts, cell_amounts, operators_of, placements, record

from dieshot import list_names
from dieshot.simulator.engine.cell import BUSY, STATES
from dieshot.simulator.log.digest import digest
from dieshot.simulator.studies.replay import replay

FJ_PER_JOULE = 10**15


@pytest.fixture(scope="module", params=list_names("systems"))
def recorded(request: Any, tmp_path_factory: Any) -> Recorded:
    return record(request.param, tmp_path_factory.mktemp("run"), 2)


def test_every_operator_is_carried_out(recorded: Recorded) -> None:
    tables = recorded.tables
    for stage in range(len(recorded.parts.stages)):
        wanted = sum(n for _, n in operators_of(recorded.parts, stage)) * recorded.micro_batches
        assert tables["operators/repeat"][tables["operators/stage"] == stage].sum() == wanted


def test_placements_of_a_stage_fill_its_steps_without_overlap(recorded: Recorded) -> None:
    tables = recorded.tables
    columns = (tables[f"placements/{name}"] for name in ("cell", "start_fs", "repeat", "stride_fs", "stage"))
    cell, start, repeat, stride, where = columns
    for stage in range(len(recorded.parts.stages)):
        here = np.repeat(np.flatnonzero(where == stage), repeat[where == stage])
        nth = np.arange(len(here)) - np.searchsorted(here, here)
        begin = start[here] + nth * stride[here]
        order = np.argsort(begin, kind="stable")
        begin, end = begin[order], (begin + tables["cells/duration_fs"][cell[here]])[order]
        assert (end[:-1] <= begin[1:]).all()
        assert end[-1] <= recorded.duration_fs
        n_gaps = int((end[:-1] < begin[1:]).sum())
        n_steps = len(recorded.parts.stages[stage].steps)
        assert n_gaps < n_steps * recorded.micro_batches  # none within a step


def test_energy_is_the_sum_over_the_file(recorded: Recorded) -> None:
    kinds, energy_fj = recorded.text("components/kind"), {}
    fj = [json.loads(text) for text in recorded.text("cells/fj_per_amount")]
    tables, stages = recorded.tables, recorded.parts.stages
    replicas = recorded.run.summary["data_parallel"]
    for stage, times in ((stage, placements(recorded, index)) for index, stage in enumerate(stages)):
        for kind, sums in cell_amounts(recorded).items():
            for cell in np.flatnonzero(sums * times).tolist():
                each = int(sums[cell]) * fj[cell].get(kind, 0)
                n_placed = int(times[cell]) * stage.tensor_parallel * replicas
                energy_fj[kind] = energy_fj.get(kind, 0) + each * n_placed
    static = tables["components/static_fj_per_cycle"] * tables["components/count"]
    cycles = -(-recorded.duration_fs // tables["components/clock_period_fs"])
    n_chips = sum(stage.tensor_parallel for stage in stages) * replicas
    works = tables["components/peak_amount_per_cycle"] > 0
    for kind, a, b, working in zip(kinds, static, cycles, works, strict=True):
        kind = "static" if working or not a else kind  # what only burns is told by its kind
        energy_fj[kind] = energy_fj.get(kind, 0) + int(a) * int(b) * n_chips
    told = {kind: joules for kind, joules in recorded.run.summary["energy_j"].items() if joules}
    assert told == {kind: total / FJ_PER_JOULE for kind, total in energy_fj.items() if total}
    n_tokens = recorded.run.summary["batch"] * GENERATE
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
    assert 0 < bounds["roofline_s"] <= summary["total_time_s"] <= bounds["serial_s"] * (1 + 1e-12)


def test_all_matrix_work_of_the_trace_is_in_the_log(recorded: Recorded) -> None:
    units = dict(zip(recorded.text("components/kind"), recorded.text("components/amount_unit"), strict=True))
    for stage in range(len(recorded.parts.stages)):
        done = sum(amounts(recorded, stage, kind) for kind, unit in units.items() if unit == "MAC")
        wanted = sum(op.macs * n for op, n in operators_of(recorded.parts, stage)) * recorded.micro_batches
        assert done >= wanted > 0


def test_the_same_run_and_its_replay_give_the_same_bytes(recorded: Recorded) -> None:
    again = recorded.file.with_name("again.h5")
    replay(recorded.file, output=again)
    assert digest(again) == digest(recorded.file)
    assert json.loads(json.dumps(recorded.run.summary))["batch"] == 2
