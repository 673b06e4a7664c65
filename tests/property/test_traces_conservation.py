"""Conservation: what the ranks do adds up to what the trace asks for, for every model and every split."""

from collections import Counter
from functools import cache
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dieshot.traces import Operator, Partition, Step, Trace, TraceError, build_trace, load_model_config, partition

TESTS = Path(__file__).resolve().parents[1]
TINY = sorted((TESTS / "data" / "traces").glob("tiny-*.json"))
PATHS = TINY + sorted((TESTS.parent / "configs" / "models").glob("*.json"))
COLLECTIVES = ("all_reduce", "all_gather", "send_recv")


@cache
def trace_of(path: Path, precision: str) -> Trace:
    model = load_model_config(path)
    generate = 2 if model.generates else 0
    return build_trace(model, batch=2, prompt=7, generate=generate, precision=precision, routing="power_law")


splits = st.tuples(
    st.sampled_from(PATHS),
    st.sampled_from(["fp8", "bf16", "w8a16"]),
    st.sampled_from([1, 2, 3, 4, 6, 8, 16]),
    st.sampled_from([1, 2, 3, 5, 8]),
)


def split(drawn: tuple[Path, str, int, int]) -> Partition:
    path, precision, tp, pp = drawn
    try:
        return partition(trace_of(path, precision), tp, pp)
    except TraceError:
        assume(False)
        raise


def sums(step: Step, key: str) -> Counter[str]:
    """Return the sum of a count over a step, by operator name."""
    total: Counter[str] = Counter()
    for block in step.blocks:
        for op in block.operators:
            if op.kind not in COLLECTIVES:
                total[op.name] += block.repeat * int(getattr(op, key))
    return total


def over_stages(part: Partition, index: int, key: str) -> Counter[str]:
    return sum((sums(stage.steps[index], key) for stage in part.stages), Counter())


def split_names(trace: Trace) -> dict[str, Operator]:
    return {op.name: op for step in trace.steps[:1] for block in step.blocks for op in block.operators}


def kv_copies(part: Partition) -> int:
    """Return how many ranks of a stage hold the same KV head."""
    return max(1, part.tensor_parallel // (part.trace.model.num_key_value_heads or part.tensor_parallel))


@settings(max_examples=60)
@given(splits)
def test_macs_add_up(drawn: tuple[Path, str, int, int]) -> None:
    part = split(drawn)
    model, tp = part.trace.model, part.tensor_parallel
    extra_kv = model.num_key_value_heads * (kv_copies(part) - 1) * 2 * model.head_dim
    for step in part.trace.steps:
        ranks, whole = over_stages(part, step.index, "macs"), sums(step, "macs")
        # Adding counters drops the names with nothing to count.
        assert ranks.keys() == {name for name, count in whole.items() if count}
        for name, op in split_names(part.trace).items():
            factor = 1 if op.shard == "replicate" else tp
            expected = whole[name]
            if name == "qkv_proj":
                expected += expected // op.dims["N"] * extra_kv
            if name == "lm_head":
                expected = expected // op.dims["N"] * (-(-op.dims["N"] // tp) * tp)
            assert factor * ranks[name] == expected


@settings(max_examples=60)
@given(splits)
def test_cache_traffic_and_cache_size_add_up(drawn: tuple[Path, str, int, int]) -> None:
    part = split(drawn)
    tp, copies = part.tensor_parallel, kv_copies(part)
    for step in part.trace.steps:
        for key in ("kv_read_bytes", "kv_write_bytes"):
            ranks, whole = over_stages(part, step.index, key), sums(step, key)
            assert tp * ranks.total() == copies * whole.total()
    model, trace = part.trace.model, part.trace
    positions = trace.steps[-1].kv_len
    positions = min(positions, model.sliding_window or positions)
    stored = sum(part.kv_bytes_per_rank(stage.index) for stage in part.stages)
    per_sequence = model.kv_bytes_per_token("bf16") * positions + model.state_bytes_per_sequence("bf16")
    assert tp * stored == copies * per_sequence * trace.batch


@settings(max_examples=60)
@given(splits)
def test_stored_weights_add_up(drawn: tuple[Path, str, int, int]) -> None:
    part = split(drawn)
    model, tp, pp = part.trace.model, part.tensor_parallel, part.pipeline_parallel
    expected = 0
    for block in part.trace.steps[0].blocks:
        for op in block.operators:
            expected += block.repeat * stored_over_ranks(op, part)
    if model.tie_word_embeddings and not model.encoder and pp == 1:
        expected -= 2 * (-(-model.vocab_size // tp) * tp) * model.hidden_size
    assert tp * sum(part.weight_bytes_per_rank(stage.index) for stage in part.stages) == expected


def stored_over_ranks(op: Operator, part: Partition) -> int:
    """Return what the ranks together store of an operator, made from its dimensions without the splitting code."""
    tp, model = part.tensor_parallel, part.trace.model
    whole = op.resident_weight_bytes
    weight_bytes = 1 if op.weight_dtype in ("fp8", "int8") else 2
    if op.shard == "replicate" or op.kind == "rope_kv_append":
        return tp * whole
    if op.shard == "vocab":
        rows = op.dims["vocab" if op.kind == "embedding" else "N"]
        return (-(-rows // tp) * tp) * model.hidden_size * 2
    if op.name == "qkv_proj":
        extra = model.num_key_value_heads * (kv_copies(part) - 1) * 2 * model.head_dim
        return whole + extra * (op.dims["K"] * weight_bytes + 2 * op.dims["bias"])
    if op.shard == "row":
        return whole + (tp - 1) * 2 * op.dims["N"] * op.dims["bias"]
    return whole


@settings(max_examples=60)
@given(splits)
def test_layers_add_up_and_every_reader_has_a_producer(drawn: tuple[Path, str, int, int]) -> None:
    part = split(drawn)
    assert sum(stage.layers for stage in part.stages) == part.trace.model.num_hidden_layers
    apart = part.pipeline_parallel > part.trace.model.num_hidden_layers  # what follows the last layer by itself
    assert min(stage.layers for stage in part.stages[: len(part.stages) - apart]) >= 1
    assert not apart or part.stages[-1].layers == 0
    for stage in part.stages:
        assert len(stage.steps) == len(part.trace.steps)
        for block in stage.steps[-1].blocks:
            seen: set[str] = {"@prev", "@residual"}
            for op in block.operators:
                assert set(op.inputs) <= seen
                seen.add(op.name)
