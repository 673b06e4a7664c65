"""Layers of random models, batches and rooms on a dataflow chip: they end and move every byte once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.dataflow.die import N_SHARED
from dieshot.chips.parts.dataflow.timing import Handover
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import build_trace, load_model_config, partition

MIB = 1 << 20
UNITS_BYTES = 520 * MIB


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, int, int, tuple[str, ...]]:
    """Return a model, ranks, batch, prompt and settings."""
    model = draw(st.sampled_from(["qwen3-0.6b", "qwen3-30b-a3b", "llama-3-8b"]))
    room = draw(st.sampled_from([4, 6, 24, 100, 400])) * MIB
    sets = [
        f"chip.pmu.stream_share={room / UNITS_BYTES}",
        f"chip.program.token_tile={draw(st.sampled_from([16, 64]))}",
        f"chip.agcu.window={draw(st.sampled_from([256, 1024, 4096]))}KiB",
        "chip.program.stream_tile=1MiB",
    ]
    return model, draw(st.sampled_from([2, 4, 8])), draw(st.integers(1, 90)), draw(st.integers(1, 40)), tuple(sets)


def in_order(activity: Activity) -> bool:
    """Return whether no line has two intervals at a time."""
    for line in np.unique(activity.component):
        chosen = activity.component == line
        order = np.argsort(activity.start_fs[chosen], kind="stable")
        spans = zip(activity.start_fs[chosen][order].tolist(), activity.end_fs[chosen][order].tolist(), strict=True)
        if any(end > start for (_, end), (start, _) in pairwise(spans)):
            return False
    return True


@settings(max_examples=12)
@given(cases())
def test_layers_end_and_move_every_byte_once(case: tuple[str, int, int, int, tuple[str, ...]]) -> None:
    model, ways, batch, prompt, sets = case
    chip = set_up("sn40l-8", sets).placed(ways, 1).chip
    trace = build_trace(
        load_model_config(find_path("models", model)), batch=batch, prompt=prompt, generate=2, precision="bf16"
    )
    steps = partition(trace, ways, 1, pad=True).stages[0].steps
    chip.prepare([steps], 1)
    pins = range(chip.parameters.mesh.columns + N_SHARED, len(chip.components()))
    for step in steps:
        state, moved, wanted = Handover(), 0, 0
        for block in step.blocks:
            for _ in range(min(block.repeat, 2)):
                outcomes = chip.carry_out_all(block.operators, state)
                state = outcomes[-1].state
                region = chip.lowering.region(block.operators)
                wanted += region.stream_bytes + sum(stage.store for stage in region.stages)
                for activity in (cell.activity for outcome in outcomes for cell in outcome.cells):
                    assert in_order(activity)
                    assert (activity.amount >= 0).all()
                    moved += int(activity.amount[np.isin(activity.component, pins[: chip.hbm.n_pins])].sum())
        assert moved == wanted
        assert state.ahead == 0
