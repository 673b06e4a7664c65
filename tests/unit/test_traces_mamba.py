"""Mamba: its parameters, its state in place of a cache, its counts, its split, its file, and chips that refuse it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dieshot import list_names, run
from dieshot.simulator.errors import InputError
from dieshot.traces import (
    ModelConfig,
    TraceError,
    build_trace,
    load_model_config,
    parse_trace,
    partition,
    trace_text,
)
from dieshot.traces.trace import LAYERS

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "models" / "mamba-2.8b.json"
CHANNELS, STATE, KERNEL, LAYERS_OF_MODEL = 5120, 16, 4, 64


def model() -> ModelConfig:
    return load_model_config(CONFIG)


def changed(tmp_path: Path, **keys: object) -> ModelConfig:
    raw = {key: value for key, value in (json.loads(CONFIG.read_text()) | keys).items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    return load_model_config(tmp_path / "config.json")


def test_parameters_are_those_of_the_tensors() -> None:
    in_proj, out_proj = 2560 * 2 * CHANNELS, CHANNELS * 2560
    x_proj, dt_proj = CHANNELS * (160 + 2 * STATE), 160 * CHANNELS + CHANNELS
    layer = in_proj + out_proj + x_proj + dt_proj + CHANNELS * (KERNEL + 1) + CHANNELS * STATE + CHANNELS + 2560
    assert model().n_parameters == 50280 * 2560 + LAYERS_OF_MODEL * layer + 2560 == 2_768_345_600


def test_weights_of_the_trace_are_the_parameters() -> None:
    trace = build_trace(model(), batch=1, prompt=8, generate=2, precision="bf16")
    assert partition(trace, 1, 1).weight_bytes_per_rank(0) == 2 * model().n_parameters


def test_left_out_keys_have_the_defaults_of_the_class(tmp_path: Path) -> None:
    short = changed(tmp_path, expand=None, intermediate_size=None, time_step_rank="auto", state_size=None)
    assert (short.intermediate_size, short.time_step_rank, short.state_size) == (CHANNELS, 160, STATE)


@pytest.mark.parametrize(("key", "value"), [("state_size", 0), ("conv_kernel", "4"), ("hidden_act", "gelu")])
def test_a_bad_key_is_named(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(TraceError, match=key):
        changed(tmp_path, **{key: value})


def test_the_state_is_read_where_tokens_came_before_and_written_in_every_step() -> None:
    batch = 3
    trace = build_trace(model(), batch=batch, prompt=100, generate=3, precision="bf16", chunk=60)
    state = batch * CHANNELS * (STATE + KERNEL - 1) * 2
    for step, read in zip(trace.steps, (0, state, state, state), strict=True):
        operators = next(block for block in step.blocks if block.name == LAYERS).operators
        assert sum(each.kv_read_bytes for each in operators) == read
        assert sum(each.kv_write_bytes for each in operators) == state
    assert partition(trace, 1, 1).kv_bytes_per_rank(0) == LAYERS_OF_MODEL * state
    assert model().kv_bytes_per_token("bf16") == 0


def test_decode_steps_are_alike_however_long_the_sequence() -> None:
    steps = build_trace(model(), batch=1, prompt=1, generate=4, precision="bf16").steps[1:]
    assert all(step.blocks is steps[0].blocks for step in steps)


def test_matrix_work_is_that_of_the_projections() -> None:
    trace = build_trace(model(), batch=1, prompt=1, generate=0, precision="bf16")
    each = 2560 * 2 * CHANNELS + CHANNELS * (160 + 2 * STATE) + 160 * CHANNELS + CHANNELS * 2560
    assert trace.totals["macs"] == LAYERS_OF_MODEL * each + 50280 * 2560


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_ranks_share_channels_and_add_up_what_all_channels_give(tp: int) -> None:
    trace = build_trace(model(), batch=2, prompt=5, generate=2, precision="fp8")
    parts = partition(trace, tp, 4)
    for step in range(len(trace.steps)):
        layer = next(block for block in parts.stages[0].steps[step].blocks if block.name == LAYERS)
        whole = {each.name: each for block in trace.steps[step].blocks for each in block.operators}
        for operator in layer.operators:
            if operator.kind != "all_reduce" and operator.shard != "replicate":
                assert operator.macs * tp == whole[operator.name].macs
                assert operator.kv_write_bytes * tp == whole[operator.name].kv_write_bytes
        reduced = [each.name for each in layer.operators if each.kind == "all_reduce"]
        assert reduced == (["x_proj_all_reduce", "out_proj_all_reduce"] if tp > 1 else [])
    assert sum(parts.kv_bytes_per_rank(stage) for stage in range(4)) * tp == 2 * model().state_bytes_per_sequence(
        "bf16"
    )


def test_ways_that_do_not_divide_the_channels_are_refused() -> None:
    trace = build_trace(model(), batch=1, prompt=5, generate=1, precision="bf16")
    with pytest.raises(TraceError, match=r"3 does not fit channels 5120 of mamba-2\.8b, expected one of 1, 2, 4, 5, 8"):
        partition(trace, 3, 1)


def test_a_trace_file_gives_the_same_trace() -> None:
    trace = build_trace(model(), batch=2, prompt=9, generate=3, precision="fp8", kv_precision="fp8")
    assert parse_trace(trace_text(trace)) == trace
    with pytest.raises(TraceError, match="kv_read_bytes: expected"):
        parse_trace(trace_text(trace).replace('"kv_read_bytes":30720', '"kv_read_bytes":30721'))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"state_size":16', '"state_size":0', "state_size"),
        ('"model_type":"mamba"', '"model_type":"llama"', "num_attention_heads"),
        ('"head_dim":0', '"head_dim":64', "head_dim"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(old: str, new: str, key: str) -> None:
    text = trace_text(build_trace(model(), batch=1, prompt=2, generate=0, precision="bf16"))
    assert old in text
    with pytest.raises(TraceError, match=key):
        parse_trace(text.replace(old, new))


@pytest.mark.parametrize("system", list_names("systems"))
def test_no_chip_of_the_catalog_runs_it_and_each_says_so(system: str) -> None:
    with pytest.raises(InputError) as refused:
        run(system, "mamba-2.8b", prompt=16, generate=1)
    text = str(refused.value)
    assert "convolution" in text or "runs no other model" in text
    assert "\n" not in text
