"""A prompt read in chunks: the same work as in one, but for weights and cache that are read again."""

from __future__ import annotations

from typing import Any

import pytest

from dieshot.simulator.params import find_path
from dieshot.traces import Trace, TraceError, build_trace, load_model_config, parse_trace, partition, trace_text


def trace(chunk: int | None, model: str = "qwen3-0.6b", **changes: Any) -> Trace:
    asked = {"batch": 2, "prompt": 100, "generate": 3, "precision": "bf16"} | changes
    return build_trace(load_model_config(find_path("models", model)), chunk=chunk, **asked)


def test_chunks_and_what_is_in_the_cache_after_them() -> None:
    steps = trace(40).steps
    assert [(step.index, step.phase, step.tokens, step.kv_len) for step in steps] == [
        (0, "prefill", 40, 40),
        (1, "prefill", 40, 80),
        (2, "prefill", 20, 100),
        (3, "decode", 1, 101),
        (4, "decode", 1, 102),
    ]
    assert [[block.name for block in step.blocks] for step in steps[:3]] == [
        ["head", "layers"],
        ["head", "layers"],
        ["head", "layers", "tail"],
    ]


def test_all_in_one_is_as_without_chunks() -> None:
    assert trace(None).steps == trace(100).steps
    assert trace(None).digest() != trace(100).digest()  # the header tells


def test_work_is_that_of_the_whole_prompt() -> None:
    whole, parts = trace(None).totals, trace(40).totals
    for key in ("macs", "kv_write_bytes", "transcendental_ops"):
        assert parts[key] == whole[key]
    layers = [sum(op.weight_bytes for op in trace(None).steps[0].blocks[1].operators) * 28]
    assert parts["weight_bytes"] - whole["weight_bytes"] == 2 * layers[0]
    assert parts["kv_read_bytes"] > whole["kv_read_bytes"]


def test_the_file_keeps_the_chunks() -> None:
    assert parse_trace(trace_text(trace(40))) == trace(40)
    assert '"chunk"' not in trace_text(trace(None))


@pytest.mark.parametrize("old", ['"tokens":40,"kv_len":80', '"chunk":40'])
def test_steps_that_are_not_the_headers_are_refused(old: str) -> None:
    text = trace_text(trace(40))
    assert old in text
    with pytest.raises(TraceError):
        parse_trace(text.replace(old, old.replace("40", "39")))


def test_stages_hold_the_head_though_the_first_step_has_none() -> None:
    for tp, pp in ((1, 1), (1, 4), (2, 3)):
        whole, parts = (partition(trace(chunk), tp, pp) for chunk in (None, 40))
        for stage in range(pp):
            assert parts.weight_bytes_per_rank(stage) == whole.weight_bytes_per_rank(stage)
            assert parts.kv_bytes_per_rank(stage) == whole.kv_bytes_per_rank(stage)
            assert parts.stages[stage].layers == whole.stages[stage].layers


@pytest.mark.parametrize("chunk", [0, 101, True, "4"])
def test_chunks_that_cannot_be(chunk: Any) -> None:
    with pytest.raises(TraceError, match="chunk: expected an integer from 1 to the prompt's 100"):
        trace(chunk)


def test_an_encoder_reads_all_at_once() -> None:
    with pytest.raises(TraceError, match="an encoder attends to all at once"):
        trace(40, "bert-base-uncased", generate=0)
