"""Trace files: exact round trips, and one line of refusal for everything else."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dieshot.traces import (
    Trace,
    TraceError,
    build_trace,
    load_model_config,
    parse_trace,
    read_trace,
    trace_text,
    write_trace,
)

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
TINY = ("tiny-llama", "tiny-qwen3", "tiny-moe", "tiny-mistral", "tiny-gemma", "tiny-embedding", "tiny-bert")
Record = dict[str, Any]


def tiny_trace(name: str, precision: str = "fp8", routing: str = "power_law") -> Trace:
    model = load_model_config(DATA / f"{name}.json")
    generate = 4 if model.generates else 0
    return build_trace(model, batch=2, prompt=3, generate=generate, precision=precision, routing=routing, seed=5)


def lines_of(name: str = "tiny-llama") -> list[str]:
    return trace_text(tiny_trace(name)).splitlines()


def changed(name: str, match: Callable[[Record], bool], change: Callable[[Record], object]) -> str:
    """Return the text with `change` done to the first line that matches."""
    lines = lines_of(name)
    for number, line in enumerate(lines):
        record = json.loads(line)
        if match(record):
            change(record)
            lines[number] = json.dumps(record)
            return "\n".join(lines) + "\n"
    raise AssertionError("no line matches")


def refusal(text: str) -> str:
    with pytest.raises(TraceError) as caught:
        parse_trace(text, "x.trace")
    message = str(caught.value)
    assert message.startswith("x.trace") and "\n" not in message and len(message) < 500
    return message


@pytest.mark.parametrize("precision", ["fp8", "bf16", "w8a16"])
@pytest.mark.parametrize("name", TINY)
def test_round_trip_is_identity(name: str, precision: str) -> None:
    trace = tiny_trace(name, precision)
    again = parse_trace(trace_text(trace))
    assert again == trace and again.digest() == trace.digest() and trace_text(again) == trace_text(trace)


@pytest.mark.parametrize("suffix", [".trace", ".trace.gz"])
def test_files_round_trip_and_are_the_same_bytes_every_time(tmp_path: Path, suffix: str) -> None:
    trace = tiny_trace("tiny-moe")
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_trace(trace, first)
    write_trace(read_trace(first), second)
    assert read_trace(first) == trace and first.read_bytes() == second.read_bytes()
    assert (first.read_bytes()[:2] == b"\x1f\x8b") == suffix.endswith(".gz")
    assert sorted(os.listdir(tmp_path)) == [first.name, second.name]


def test_format_is_pinned() -> None:
    """A change of this digest is a change of the file format or of an operator: raise VERSION or say why not."""
    assert tiny_trace("tiny-llama").digest() == "f636dec30e03a3c8700ffdcdcee01c03c67583a053c5e094be621c06402cfdca"
    balanced = tiny_trace("tiny-moe", routing="balanced")
    assert balanced.digest() == "1b026d6826e5788f39df17bf27515fb93340e383c6d16ec5c44503ce3b77a2df"


def test_each_distinct_operator_is_one_line() -> None:
    records = [json.loads(line) for line in lines_of()]
    bodies = [json.dumps({k: v for k, v in record.items() if k != "operator"}) for record in records]
    # 13 of the prefill, 13 of the first decode step, the tail of 3 in common, an attention for each step further.
    assert sum("operator" in record for record in records) == 13 + 13 - 3 + 2
    assert len(set(bodies)) == len(bodies)
    assert records[0]["schema"] == "dieshot-trace" and records[-1]["lines"] == len(records) - 1


def test_parsed_steps_share_objects_as_built_ones_do() -> None:
    trace = parse_trace(trace_text(tiny_trace("tiny-llama")))
    assert trace.steps[1].blocks[0] is trace.steps[3].blocks[0]


def is_operator(name: str) -> Callable[[Record], bool]:
    return lambda record: "operator" in record and record["name"] == name


def put(key: str, value: object) -> Callable[[Record], object]:
    """Return a change that sets the value at a dotted key."""

    def change(record: Record) -> None:
        *path, last = key.split(".")
        for part in path:
            record = record[part]
        record[last] = value

    return change


BAD_OPERATORS = [
    ("qkv_proj", "macs", 769, "x.trace:5: macs: expected 768 from the dimensions, got 769"),
    ("qkv_proj", "macs", 768.0, "macs: expected 768 from the dimensions, got 768.0"),
    ("qkv_proj", "macs", None, "macs: expected 768 from the dimensions, got None"),
    ("qkv_proj", "output_bytes", 1, "output_bytes: expected 192 from the dimensions, got 1"),
    ("qkv_proj", "weight_bytes", 64, "weight_bytes: expected 128 from the dimensions, got 64"),
    ("attention", "kv_read_bytes", 0, "kv_read_bytes: expected 96 from the dimensions, got 0"),
    ("qkv_proj", "dims.N", 17, "output_bytes: expected 204 from the dimensions, got 192"),
    ("qkv_proj", "dims.N", 0, "dims.N: expected an integer from 1 to 1099511627776, got 0"),
    ("qkv_proj", "dims.N", True, "dims.N: expected an integer from 1"),
    ("qkv_proj", "dims.N", 1 << 41, "dims.N: expected an integer from 1 to 1099511627776, got 2199023255552"),
    ("qkv_proj", "dims.P", 1, "dims.P: unknown key, expected M, N, K, bias"),
    ("qkv_proj", "dims.bias", 2, "dims.bias: expected an integer from 0 to 1, got 2"),
    ("qkv_proj", "dims", [], "dims: expected an object, got a list of 0"),
    ("qkv_proj", "kind", "gem", "kind: unknown 'gem', expected one of activation"),
    ("qkv_proj", "kind", ["gemm"], "kind: unknown a list of 1"),
    ("qkv_proj", "dtype", "fp7", "did you mean 'fp8'?"),
    ("qkv_proj", "weight_dtype", None, "weight_dtype: unknown None"),
    ("qkv_proj", "kv_dtype", "bf16", "kv_dtype: expected null for this gemm, got 'bf16'"),
    ("act", "weight_dtype", "fp8", "weight_dtype: expected null for this activation, got 'fp8'"),
    ("qkv_proj", "shard", "col", "shard: unknown 'col'"),
    ("qkv_proj", "fused", ["a b"], "fused: expected names of letters"),
    ("qkv_proj", "fused", "qkv", "fused: expected a list"),
    ("qkv_proj", "group_rows", [6], "group_rows: expected 0 entries, got 1"),
    ("qkv_proj", "name", "a\nb", "name: expected a name of letters"),
    ("qkv_proj", "name", "x" * 101, "name: expected a name of letters"),
    ("qkv_proj", "extra", 1, "extra: unknown key, expected operator, name"),
    ("qkv_proj", "operator", 7, "operator: expected the next number, 2, got 7"),
    ("qkv_proj", "operator", True, "operator: expected the next number, 2, got True"),
    ("qkv_proj", "inputs.input_norm", 47, "inputs: expected 48 bytes in all, got 47"),
    ("qkv_proj", "inputs", {}, "inputs: expected an object of 1 to 64 producers"),
    ("qkv_proj", "inputs", {"@next": 48}, "inputs: '@next' is not a producer"),
    ("qkv_proj", "inputs", {"input_norm": "48"}, "inputs.input_norm: expected bytes from 0"),
    ("qkv_proj", "inputs", {"input_nrm": 48}, "did you mean 'input_norm'?"),
    ("qkv_proj", "inputs", {"o_proj": 48}, "no operator 'o_proj' earlier in block 'layers' (missing, or a cycle)"),
    ("qkv_proj", "inputs", {"qkv_proj": 48}, "no operator 'qkv_proj' earlier in block 'layers'"),
    ("qkv_proj", "name", "input_norm", "block 'layers' has two operators named 'input_norm'"),
    ("attention", "dims.q_len", 4, "dims.q_len: 4 is above kv_len 3"),
    ("attention", "dims.kv_heads", 3, "dims.kv_heads: 3 does not divide heads 4"),
]


@pytest.mark.parametrize(("name", "key", "value", "message"), BAD_OPERATORS)
def test_bad_operator_is_named(name: str, key: str, value: object, message: str) -> None:
    assert message in refusal(changed("tiny-llama", is_operator(name), put(key, value)))


def test_reading_more_than_was_written_is_refused() -> None:
    def swap(record: Record) -> None:
        record["inputs"] = {"act": 192, "@prev": 0}

    # 96 bytes are all that the activation writes.
    double = changed("tiny-llama", is_operator("down_proj"), swap)
    assert "inputs: expected 96 bytes in all, got 192" in refusal(double)
    stolen = changed("tiny-moe", is_operator("moe_combine"), put("inputs", {"router": 480}))
    assert "480 bytes are read, expected at most the 72 that it writes" in refusal(stolen)


def test_bad_group_rows_are_named() -> None:
    match = is_operator("experts_down")
    assert "expected a sum of M = 12, got 13" in refusal(changed("tiny-moe", match, put("group_rows", [13] + [0] * 5)))
    assert "expected integers from 0" in refusal(changed("tiny-moe", match, put("group_rows", [13, -1, 0, 0, 0, 0])))
    assert "expected 6 entries, got 2" in refusal(changed("tiny-moe", match, put("group_rows", [6, 6])))


def has(key: str) -> Callable[[Record], bool]:
    return lambda record: key in record


BAD_LINES = [
    ("schema", "schema", "other", "x.trace:1: schema: expected 'dieshot-trace', got 'other'"),
    ("schema", "version", 2, "x.trace:1: version: expected 1, got 2"),
    ("schema", "version", True, "version: expected 1, got True"),
    ("schema", "extra", 1, "extra: unknown key"),
    ("schema", "batch", 0, "batch: expected an integer from 1"),
    ("schema", "batch", 3, "batch: expected 3 from the header, got 2"),
    ("schema", "prompt", 4, "tokens: expected 4 from the header, got 3"),
    ("schema", "generate", 9, "expected 9 steps from the header, got 4"),
    ("schema", "generate", 1e9, "generate: expected an integer"),
    ("schema", "precision", "fp9", "precision: unknown 'fp9'"),
    ("schema", "routing", "fair", "routing: unknown 'fair'"),
    ("schema", "model", 3, "model: expected an object, got 3"),
    ("schema", "model.hidden_size", 0, "model.hidden_size: expected an integer from 1"),
    ("schema", "model.qk_norm", 0, "model.qk_norm: expected true or false, got 0"),
    ("schema", "model.name", "", "model.name: expected 1 to 100 printable characters"),
    ("schema", "model.name", "a/../b", "name: expected a name of letters"),
    ("schema", "model.model_type", "gptj", "model_type: unknown 'gptj'"),
    ("schema", "model.num_key_value_heads", 3, "num_key_value_heads: 3 does not divide num_attention_heads 4"),
    ("schema", "model.intermediate_size", 0, "intermediate_size: expected above 0"),
    ("block", "repeat", 0, "repeat: expected an integer from 1 to 100000, got 0"),
    ("block", "operators", [], "operators: expected a list of 1 to 10000 numbers"),
    ("block", "operators", [99], "operators: expected numbers of earlier lines, below 1, got 99"),
    ("block", "operators", [-1], "operators: expected numbers of earlier lines, below 1, got -1"),
    ("block", "block", 5, "block: expected the next number, 0, got 5"),
    ("step", "step", 1, "step: expected the next number, 0, got 1"),
    ("step", "phase", "decode", "phase: unknown 'decode', expected one of prefill"),
    ("step", "kv_len", 4, "kv_len: expected 3 from the header, got 4"),
    ("step", "blocks", [0, 2], "block 1 is defined but never used"),
    ("step", "blocks", [1, 0, 2], "block 'layers' reads @residual, which no operator has written"),
    ("totals", "totals.macs", 1, "totals.macs: expected"),
    ("totals", "totals.maccs", 1, "did you mean 'macs'?"),
    ("totals", "totals", None, "totals: expected an object, got None"),
    ("totals", "lines", 3, "lines: expected"),
]


@pytest.mark.parametrize(("line", "key", "value", "message"), BAD_LINES)
def test_bad_line_is_named(line: str, key: str, value: object, message: str) -> None:
    assert message in refusal(changed("tiny-llama", has(line), put(key, value)))


def test_a_block_cannot_read_more_than_the_one_before_wrote() -> None:
    model = load_model_config(DATA / "tiny-llama.json")
    text = trace_text(build_trace(model, batch=1, prompt=1, generate=0, precision="bf16"))
    honest, greedy = '"inputs":{"@prev":16,"@residual":16}', '"inputs":{"@prev":32,"@residual":0}'
    # The final norm's line comes last; the layers' last GEMM writes 16 bytes.
    before, _, after = text.rpartition(honest)
    assert "block 'tail' reads 32 bytes of @prev, expected at most 16" in refusal(before + greedy + after)
    before, _, after = text.partition(honest)
    assert "block 'layers' reads 32 bytes of @prev, expected at most 16" in refusal(before + greedy + after)


def test_a_layer_is_held_against_the_layer_before_it() -> None:
    def cut(record: Record) -> None:
        record["operators"] = record["operators"][:4]

    # Ending in attention, a layer leaves 48 bytes: the head's 96 are enough for the first layer only.
    text = changed("tiny-llama", lambda record: record.get("name") == "layers", cut)
    assert "block 'layers' reads 96 bytes of @prev, expected at most 48" in refusal(text)


def test_attention_of_another_shape_than_the_step_is_refused() -> None:
    lines = lines_of("tiny-llama")
    steps = [n for n, line in enumerate(lines) if line.startswith('{"step"')]
    blocks = [json.loads(lines[n])["blocks"] for n in steps]
    lines[steps[3]] = json.dumps(json.loads(lines[steps[3]]) | {"blocks": blocks[2]})
    message = refusal("\n".join(lines) + "\n")
    assert "attention of block 'layers' has batch, q_len, kv_len (2, 1, 5), expected (2, 1, 6)" in message


def test_unused_operator_is_refused() -> None:
    lines = lines_of()
    record = json.loads(lines[-1])
    n_operators = sum('"operator":' in line for line in lines)
    spare = json.loads(next(line for line in lines if '"name":"sample"' in line)) | {"operator": n_operators}
    record["lines"] += 1
    text = "\n".join([*lines[:-1], json.dumps(spare), json.dumps(record)]) + "\n"
    assert f"operator {n_operators} is defined but never used" in refusal(text)


def test_cut_and_padded_files_are_refused() -> None:
    lines = lines_of()
    for n_kept in range(len(lines)):
        refusal("".join(line + "\n" for line in lines[:n_kept]))
    whole = "".join(line + "\n" for line in lines)
    assert "does not end in a newline" in refusal(whole[:-1])
    assert "expected nothing after the totals" in refusal(whole + "\n")
    assert "file is empty" in refusal("")
    assert "unknown kind of line" in refusal("\n".join([lines[0], "{}", *lines[1:]]) + "\n")


def test_hostile_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.trace"
    cases = {
        b"\xff\xfe\n": "is not UTF-8",
        b"\x00" * 100 + b"\n": "is not JSON",
        b"[" * 100_000 + b"\n": "nested deeper than 32 levels",
        b"x" * (1 << 21): "line is longer than the 1048576 bytes allowed",
        b"\x1f\x8bgarbage": "cannot be read",
        gzip.compress(trace_text(tiny_trace("tiny-llama")).encode())[:-9]: "cannot be read",
        gzip.compress(b"\x00" * (1 << 26)): "line is longer",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(TraceError) as caught:
            read_trace(path)
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "not a regular file"), (tmp_path / "absent", "No such file")):
        with pytest.raises(TraceError, match=message):
            read_trace(path)
    with pytest.raises(TraceError, match="cannot be written"):
        write_trace(tiny_trace("tiny-llama"), tmp_path / "absent" / "x.trace")
    with pytest.raises(TraceError, match="cannot be written"):
        write_trace(tiny_trace("tiny-llama"), tmp_path)


def test_lone_surrogates_are_not_text() -> None:
    assert "is not UTF-8" in refusal('{"a":"\ud800"}\n')
