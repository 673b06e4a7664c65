"""Prompts after tokens that are in the cache already."""

from pathlib import Path

import pytest

from dieshot.traces import Trace, TraceError, build_trace, load_model_config, parse_trace, partition
from dieshot.traces.file import trace_text

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"


def built(cached: int, prompt: int, generate: int = 4, chunk: int | None = None, name: str = "tiny-llama") -> Trace:
    model = load_model_config(DATA / f"{name}.json")
    return build_trace(
        model, batch=2, prompt=prompt, generate=generate, precision="fp8", chunk=chunk, cached=cached, seed=7
    )


def test_a_cached_prompt_of_one_token_is_the_decode_that_follows_it() -> None:
    whole, late = built(0, 9), built(9, 1, 3)
    assert [step.kv_len for step in late.steps] == [step.kv_len for step in whole.steps[1:]]
    for ours, theirs in zip(late.steps, whole.steps[1:], strict=True):
        assert [block.operators for block in ours.blocks] == [block.operators for block in theirs.blocks]


def test_the_rest_of_a_prompt_is_its_last_chunk() -> None:
    whole, late = built(0, 12, chunk=6), built(6, 6)
    assert late.steps[0].blocks == whole.steps[1].blocks
    assert late.n_prefill_steps == 1
    parts = [partition(trace, 1, 1).kv_bytes_per_rank(0) for trace in (whole, late)]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_file_keeps_it(chunk: int | None) -> None:
    trace = built(5, 4, chunk=chunk)
    text = trace_text(trace)
    assert '"cached":5' in text.splitlines()[0]
    assert '"cached"' not in trace_text(built(0, 4)).splitlines()[0]
    assert parse_trace(text, "x") == trace


@pytest.mark.parametrize(
    ("cached", "message"), [(-1, "cached: expected an integer from 0"), (1 << 20, "cached: expected an integer")]
)
def test_bad_numbers_are_named(cached: int, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        built(cached, 4)


def test_a_file_whose_steps_do_not_follow_the_cache_is_refused() -> None:
    text = trace_text(built(5, 4)).replace('"cached":5', '"cached":6')
    with pytest.raises(TraceError, match="expected"):
        parse_trace(text, "x")
