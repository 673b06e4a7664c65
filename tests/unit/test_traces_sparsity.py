"""Zeros among the weights: who has them, how a trace file says so, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dieshot.traces import Trace, TraceError, build_trace, load_model_config, parse_trace, partition, trace_text

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
GEMMS = {
    "tiny-llama": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    "tiny-moe": {"qkv_proj", "o_proj", "experts_gate_up", "experts_down"},
    "tiny-bert": {"qkv_proj", "o_proj", "up_proj", "down_proj"},
}


def tiny_trace(name: str = "tiny-llama", **changes: Any) -> Trace:
    model = load_model_config(DATA / f"{name}.json")
    arguments = {"batch": 2, "prompt": 3, "generate": 3 if model.generates else 0, "precision": "fp8"}
    return build_trace(model, **{**arguments, **changes})


@pytest.mark.parametrize("name", GEMMS)
def test_the_gemms_inside_the_layers_have_the_zeros_and_dense_counts(name: str) -> None:
    dense, sparse = tiny_trace(name), tiny_trace(name, sparsity="2:4")
    assert sparse.totals == dense.totals
    for plain, zeroed in zip(dense.steps, sparse.steps, strict=True):
        for one, other in zip(plain.blocks, zeroed.blocks, strict=True):
            for op, with_zeros in zip(one.operators, other.operators, strict=True):
                stated = {"sparsity": "2:4", "density": 0.5} if op.name in GEMMS[name] else {}
                assert with_zeros == replace(op, **stated)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GEMMS)
@pytest.mark.parametrize(("pattern", "density"), [("2:4", None), ("unstructured", 0.3)])
def test_the_file_states_them_once_an_operator_and_reads_back(name: str, pattern: str, density: float | None) -> None:
    trace = tiny_trace(name, sparsity=pattern, density=density)
    text = trace_text(trace)
    again = parse_trace(text)
    assert again == trace and trace_text(again) == text
    records = [json.loads(line) for line in text.splitlines()]
    assert (records[0]["sparsity"], records[0]["density"]) == (pattern, density or 0.5)
    assert {record["name"] for record in records if "operator" in record and "density" in record} == GEMMS[name]


def test_a_dense_file_says_nothing_about_zeros_so_that_older_files_read_the_same() -> None:
    text = trace_text(tiny_trace())
    assert "sparsity" not in text and "density" not in text
    assert parse_trace(text).sparsity == "dense"


def test_ranks_keep_the_zeros() -> None:
    part = partition(tiny_trace(sparsity="unstructured", density=0.25), 2, 1)
    densities = {op.name: op.density for block in part.stages[0].steps[0].blocks for op in block.operators}
    assert {name for name, density in densities.items() if density == 0.25} == GEMMS["tiny-llama"]


@pytest.mark.parametrize(
    ("sparsity", "density", "message"),
    [
        ("2:3", None, "build_trace: sparsity: unknown '2:3', expected one of 2:4, dense, unstructured"),
        ("unstructured", None, "density: missing, expected the share of non-zero weights for unstructured"),
        ("unstructured", 0, "density: expected a number above 0 and at most 1, got 0"),
        ("unstructured", 1.01, "density: expected a number above 0 and at most 1, got 1.01"),
        ("unstructured", float("nan"), "density: expected a number above 0 and at most 1, got nan"),
        ("unstructured", True, "density: expected a number above 0 and at most 1, got True"),
        ("2:4", 0.3, "density: expected 0.5 for 2:4 sparsity, got 0.3"),
        ("dense", 0.5, "density: expected 1.0 for dense sparsity, got 0.5"),
    ],
)
def test_bad_sparsity_is_refused_in_one_line(sparsity: str, density: Any, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        tiny_trace(sparsity=sparsity, density=density)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("act", {"sparsity": "2:4"}, "sparsity: expected 'dense' for this activation, got '2:4'"),
        ("qkv_proj", {"sparsity": 24}, "sparsity: unknown 24"),
        ("qkv_proj", {"density": "0.5"}, "density: expected a number above 0 and at most 1, got '0.5'"),
        ("qkv_proj", {"densty": 0.5}, "densty: unknown key"),
    ],
)
def test_bad_fields_of_a_file_are_refused(name: str, changes: dict[str, Any], message: str) -> None:
    lines = trace_text(tiny_trace(sparsity="2:4")).splitlines()
    number = next(i for i, line in enumerate(lines) if json.loads(line).get("name") == name)
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    with pytest.raises(TraceError) as caught:
        parse_trace("\n".join(lines) + "\n", "x.trace")
    assert f"x.trace:{number + 1}: {message}" in str(caught.value)
