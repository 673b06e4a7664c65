"""Trace files from strangers: whatever is in them, the reader gives a trace or one line."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dieshot.traces import TraceError, build_trace, load_model_config, parse_trace, read_trace, trace_text
from dieshot.traces.huggingface import model_config

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
MODELS = {path.stem: load_model_config(path) for path in sorted(DATA.glob("tiny-*.json"))}
TEXTS = {
    name: trace_text(build_trace(model, batch=2, prompt=3, generate=3 if model.generates else 0, precision="fp8"))
    for name, model in MODELS.items()
}

TEXTS["sparse"] = trace_text(
    build_trace(
        MODELS["tiny-moe"], batch=2, prompt=3, generate=3, precision="w8a16", sparsity="unstructured", density=0.3
    )
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["fp8", "gemm", "@prev", "o_proj", "2:4", "dense", 0.5]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def trace_or_one_line(text: str) -> None:
    try:
        trace = parse_trace(text, "x.trace")
    except TraceError as error:
        assert "\n" not in str(error) and str(error).startswith("x.trace") and len(str(error)) < 1000
    else:
        assert parse_trace(trace_text(trace)) == trace


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_mutated_value(name: str, data: st.DataObject) -> None:
    lines = TEXTS[name].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    record = json.loads(lines[number])
    target = data.draw(st.sampled_from([record, *(value for value in record.values() if isinstance(value, dict))]))
    key = data.draw(st.sampled_from(sorted(target)) | st.text(max_size=5)) if target else "key"
    if data.draw(st.booleans()):
        target.pop(key, None)
    else:
        target[key] = data.draw(values)
    lines[number] = json.dumps(record)
    trace_or_one_line("\n".join(lines) + "\n")


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_removed_repeated_or_swapped_lines(name: str, data: st.DataObject) -> None:
    lines = TEXTS[name].splitlines(keepends=True)
    first, second = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    shuffled = [*lines]
    shuffled[first], shuffled[second] = shuffled[second], shuffled[first]
    for changed in (lines[:first] + lines[first + 1 :], [*lines[: first + 1], *lines[first:]], shuffled):
        if changed != lines:
            trace_or_one_line("".join(changed))


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_a_truncated_file_is_always_refused(name: str, data: st.DataObject) -> None:
    text = TEXTS[name][: data.draw(st.integers(0, len(TEXTS[name]) - 1))]
    try:
        parse_trace(text, "x.trace")
    except TraceError as error:
        assert "\n" not in str(error)
    else:
        raise AssertionError("a cut file was read")


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b", b"{", TEXTS["tiny-llama"].encode()]))
def test_random_bytes(content: bytes, prefix: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.trace"
        path.write_bytes(prefix + content)
        try:
            read_trace(path)
        except TraceError as error:
            assert "\n" not in str(error)
        else:
            assert not content


@given(st.sampled_from(sorted(MODELS)), st.data())
def test_mutated_model(name: str, data: st.DataObject) -> None:
    raw = json.loads((DATA / f"{name}.json").read_text())
    raw[data.draw(st.sampled_from([*sorted(raw), "sliding_window", "head_dim", "layer_types"]))] = data.draw(values)
    try:
        model = model_config(raw, "x.json", "x")
        trace = build_trace(model, batch=1, prompt=1, generate=0, precision="fp8")
    except TraceError as error:
        assert "\n" not in str(error)
    else:
        assert parse_trace(trace_text(trace)) == trace
