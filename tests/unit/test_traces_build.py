"""Operators of small models against counts made by hand, and the shape of whole traces."""

from dataclasses import replace
from pathlib import Path

import networkx
import pytest

from dieshot.traces import KIND_DIMS, SHARDS, ModelConfig, Operator, Trace, TraceError, build_trace, load_model_config

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
TINY = ("tiny-llama", "tiny-qwen3", "tiny-moe", "tiny-mistral", "tiny-gemma", "tiny-embedding", "tiny-bert")


def tiny(name: str) -> ModelConfig:
    return load_model_config(DATA / f"{name}.json")


def tiny_trace(name: str, precision: str = "fp8", batch: int = 2, prompt: int = 3, generate: int = 3) -> Trace:
    model = tiny(name)
    generate = generate if model.generates else 0
    return build_trace(model, batch=batch, prompt=prompt, generate=generate, precision=precision)


def operators(trace: Trace, step: int) -> dict[str, Operator]:
    return {operator.name: operator for block in trace.steps[step].blocks for operator in block.operators}


COUNTS = ("input_bytes", "weight_bytes", "output_bytes", "kv_read_bytes", "kv_write_bytes", "macs")

# tiny-llama, fp8, 2 sequences of 3 tokens: 6 rows of 8; qkv is (4 + 2 x 2) x 2 = 16 wide; 6 visible pairs a head.
BY_HAND = {
    "embedding": (6 * 4, 6 * 8 * 2, 6 * 8 * 2, 0, 0, 0),
    "input_norm": (2 * 96, 8 * 2, 48 + 96, 0, 0, 0),
    "qkv_proj": (48, 16 * 8, 6 * 16 * 2, 0, 0, 6 * 16 * 8),
    "rope_kv_append": (192, 0, 6 * 8 * 2, 0, 6 * 2 * 4 * 2, 0),
    "attention": (96, 0, 48, 2 * 3 * 2 * 4 * 2, 0, 2 * (2 * 4 * 6) * 2),
    "o_proj": (48, 8 * 8, 96, 0, 0, 6 * 8 * 8),
    "post_attention_norm": (2 * 96, 8 * 2, 48 + 96, 0, 0, 0),
    "gate_up_proj": (48, 32 * 8, 6 * 32 * 2, 0, 0, 6 * 32 * 8),
    "act": (6 * 32 * 2, 0, 6 * 16, 0, 0, 0),
    "down_proj": (96, 8 * 16, 96, 0, 0, 6 * 8 * 16),
    "final_norm": (2 * 2 * 8 * 2, 16, 2 * 8 * 2, 0, 0, 0),
    "lm_head": (32, 32 * 8 * 2, 2 * 32 * 2, 0, 0, 2 * 32 * 8),
    "sample": (128, 0, 8, 0, 0, 0),
}


def test_prefill_of_a_small_llama_by_hand() -> None:
    made = operators(tiny_trace("tiny-llama"), 0)
    assert {name: tuple(getattr(op, key) for key in COUNTS) for name, op in made.items()} == BY_HAND


def test_elementwise_work_of_a_small_llama_by_hand() -> None:
    made = operators(tiny_trace("tiny-llama"), 0)
    assert (made["input_norm"].vector_ops, made["input_norm"].transcendental_ops) == (48 * 5, 6)
    assert made["rope_kv_append"].vector_ops == 6 * (4 + 2) * 2 * 3
    assert (made["attention"].vector_ops, made["attention"].transcendental_ops) == (4 * 48 + 48, 48)
    assert (made["act"].vector_ops, made["act"].transcendental_ops) == (4 * 96, 96)


def test_decode_attention_by_hand() -> None:
    trace = tiny_trace("tiny-llama", batch=2, prompt=3, generate=3)
    first, second = (operators(trace, step)["attention"] for step in (1, 2))
    # 4 and 5 visible keys, 2 sequences, 4 heads of 2; keys and values of 2 KV heads, 2 bytes each.
    assert (first.macs, second.macs) == (2 * 2 * 4 * 4 * 2, 2 * 2 * 4 * 5 * 2)
    assert (first.kv_read_bytes, second.kv_read_bytes) == (2 * 4 * 8 * 2, 2 * 5 * 8 * 2)


def test_precisions_are_those_of_a_serving_stack() -> None:
    made = operators(tiny_trace("tiny-llama", "fp8"), 0)
    assert {name for name, op in made.items() if op.dtype == "fp8"} == {
        *("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    }
    assert made["lm_head"].weight_dtype == made["embedding"].weight_dtype == made["input_norm"].weight_dtype == "bf16"
    assert made["attention"].dtype == "bf16" and made["attention"].output_dtype == "fp8"
    assert {op.dtype for op in operators(tiny_trace("tiny-llama", "fp16"), 0).values()} == {"fp16"}


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-moe"])
def test_w8a16_stores_the_weights_of_the_layers_in_int8_and_changes_nothing_else(name: str) -> None:
    plain, narrow = (operators(tiny_trace(name, precision), 0) for precision in ("bf16", "w8a16"))
    changed = {key for key in plain if plain[key] != narrow[key]}
    experts = {"qkv_proj", "o_proj", "experts_gate_up", "experts_down"}
    assert changed == (experts if name == "tiny-moe" else {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"})
    for key in changed:
        assert (narrow[key].dtype, narrow[key].weight_dtype, narrow[key].output_dtype) == ("bf16", "int8", "bf16")
        assert narrow[key] == replace(plain[key], weight_dtype="int8", weight_bytes=plain[key].weight_bytes // 2)
        assert 2 * narrow[key].resident_weight_bytes == plain[key].resident_weight_bytes


def test_mixture_of_experts_by_hand() -> None:
    made = operators(tiny_trace("tiny-moe"), 0)
    gate_up, down = made["experts_gate_up"], made["experts_down"]
    assert gate_up.group_rows == down.group_rows == (2,) * 6
    assert (gate_up.macs, gate_up.weight_bytes) == (12 * 24 * 16, 6 * 24 * 16)
    assert (down.macs, down.weight_bytes, down.output_bytes) == (12 * 16 * 12, 6 * 16 * 12, 12 * 16 * 2)
    assert made["route"].inputs == {"router": 6 * 6 * 2, "post_attention_norm": 6 * 16 * 2}
    assert made["route"].output_bytes == 12 * 16 + 12 * 8
    assert made["moe_combine"].inputs == {"experts_down": 12 * 16 * 2, "route": 12 * 8}
    assert made["router"].dtype == made["router"].weight_dtype == "bf16"


def test_experts_without_rows_are_not_read() -> None:
    decode = operators(tiny_trace("tiny-moe", batch=1), 1)["experts_gate_up"]
    assert decode.group_rows == (1, 1, 0, 0, 0, 0)
    assert decode.weight_bytes == 2 * 24 * 16
    assert decode.resident_weight_bytes == 6 * 24 * 16


def test_bert_by_hand() -> None:
    trace = tiny_trace("tiny-bert", batch=1, prompt=4)
    made = operators(trace, 0)
    assert [step.phase for step in trace.steps] == ["prefill"]
    attention = made["attention"]
    assert attention.macs == 2 * 2 * 4 * 4 * 4 and attention.inputs == {"qkv_proj": 4 * 24 * 2}
    assert (attention.kv_dtype, attention.kv_read_bytes, attention.kv_write_bytes) == (None, 0, 0)
    assert made["up_proj"].weight_bytes == 32 * 8 + 32 * 2 and made["up_proj"].vector_ops == 4 * 32
    assert made["embedding"].weight_bytes == 4 * 3 * 8 * 2
    assert made["attention_norm"].output_bytes == 32 + 64
    assert operators(tiny_trace("tiny-bert", "bf16", batch=1, prompt=4), 0)["attention_norm"].output_bytes == 64


def test_sliding_window_bounds_reads_and_scores() -> None:
    trace = tiny_trace("tiny-mistral", batch=1, prompt=9, generate=2)
    prefill, decode = operators(trace, 0)["attention"], operators(trace, 1)["attention"]
    assert prefill.transcendental_ops == 8 * (1 + 2 + 3 + 4 + 5 * 5)
    assert decode.transcendental_ops == 8 * 5
    assert decode.kv_read_bytes == 5 * 2 * 4 * 2 * 2


@pytest.mark.parametrize("name", TINY)
def test_weights_of_all_operators_are_the_parameters_of_the_model(name: str) -> None:
    trace = tiny_trace(name, "bf16")
    total = sum(
        block.repeat * sum(op.resident_weight_bytes for op in block.operators) for block in trace.steps[0].blocks
    )
    tied = trace.model.tie_word_embeddings and not trace.model.encoder
    tied_bytes = 2 * trace.model.vocab_size * trace.model.hidden_size if tied else 0
    assert total - tied_bytes == 2 * trace.model.n_parameters


@pytest.mark.parametrize("precision", ["bf16", "fp8", "int8", "fp16", "w8a16"])
@pytest.mark.parametrize("name", TINY)
def test_every_operator_is_well_formed(name: str, precision: str) -> None:
    for step in tiny_trace(name, precision).steps:
        for block in step.blocks:
            names = [op.name for op in block.operators]
            assert len(set(names)) == len(names)
            for op in block.operators:
                assert tuple(op.dims) == KIND_DIMS[op.kind] + (("scaled",) if "scaled" in op.dims else ())
                assert op.shard in SHARDS and op.fused


@pytest.mark.parametrize("name", TINY)
def test_graphs_are_acyclic_and_whole(name: str) -> None:
    trace = tiny_trace(name)
    for step in trace.steps:
        folded, expanded = trace.graph(step.index), trace.graph(step.index, expand=True)
        for graph in (folded, expanded):
            assert networkx.is_directed_acyclic_graph(graph) and networkx.is_weakly_connected(graph)
        n_operators = sum(len(block.operators) * block.repeat for block in step.blocks)
        assert len(expanded) == n_operators
        assert sum(folded.nodes[node]["repeat"] for node in folded) == n_operators
        assert [node for node in expanded if not expanded.in_degree(node)] == ["head/embedding"]


def test_graph_edges_follow_the_data() -> None:
    graph = tiny_trace("tiny-llama").graph(0, expand=True)
    assert graph.edges["layers/0/input_norm", "layers/0/qkv_proj"]["n_bytes"] == 48
    assert set(graph.predecessors("layers/1/input_norm")) == {"layers/0/down_proj", "layers/0/post_attention_norm"}
    assert set(graph.predecessors("tail/final_norm")) == {"layers/2/down_proj", "layers/2/post_attention_norm"}
    block = tiny_trace("tiny-llama").steps[0].blocks[1].graph()
    assert next(iter(block)) == "input_norm" and block.nodes["o_proj"]["operator"].kind == "gemm"


def test_steps_count_up_from_the_prompt() -> None:
    trace = tiny_trace("tiny-llama", prompt=5, generate=4)
    assert [(s.index, s.phase, s.tokens, s.kv_len) for s in trace.steps] == [
        (0, "prefill", 5, 5),
        (1, "decode", 1, 6),
        (2, "decode", 1, 7),
        (3, "decode", 1, 8),
    ]
    assert len(tiny_trace("tiny-llama", generate=1).steps) == len(tiny_trace("tiny-llama", generate=0).steps) == 1


def test_decode_steps_share_what_does_not_depend_on_the_cache() -> None:
    trace = tiny_trace("tiny-moe", generate=9)
    first, last = (operators(trace, step) for step in (1, 8))
    assert [name for name, op in first.items() if op is not last[name]] == ["attention"]


def test_totals_count_repeats() -> None:
    trace = tiny_trace("tiny-llama", generate=1)
    per_layer = ("qkv_proj", "attention", "o_proj", "gate_up_proj", "down_proj")
    assert trace.totals["macs"] == 3 * sum(BY_HAND[name][5] for name in per_layer) + BY_HAND["lm_head"][5]
    assert trace.totals["kv_write_bytes"] == 2 * 3 * tiny("tiny-llama").kv_bytes_per_token("bf16")
    assert trace.totals["operators"] == 1 + 3 * 9 + 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "build_trace: batch: expected an integer from 1 to 1048576, got 0"),
        ({"batch": True}, "batch: expected an integer from 1 to 1048576, got True"),
        ({"prompt": 65}, "prompt: expected an integer from 1 to 64, got 65"),
        ({"prompt": 60, "generate": 5}, "prompt + generate: 60 + 5 tokens, expected at most the 64 positions of tiny"),
        (
            {"precision": "pf8"},
            "precision: unknown 'pf8', expected one of abfp16, bf16, fp16, fp8, int8, mxint16, mxint4, mxint8, "
            "w4a8, w8a16; did you mean 'fp8'?",
        ),
        (
            {"kv_precision": "fp4"},
            "kv_precision: unknown 'fp4', expected one of abfp16, bf16, fp16, fp8, int4, int8, mxint16, mxint8; did",
        ),
        ({"routing": "power-law"}, "routing: unknown 'power-law', expected one of balanced, power_law; did you mean"),
        ({"seed": -1}, "seed: expected an integer from 0"),
    ],
)
def test_bad_argument_is_named(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"batch": 1, "prompt": 4, "generate": 2, "precision": "bf16"}
    with pytest.raises(TraceError) as caught:
        build_trace(tiny("tiny-llama"), **(arguments | changes))  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_longest_run_that_fits_is_allowed() -> None:
    assert tiny_trace("tiny-llama", prompt=60, generate=4).steps[-1].kv_len == 63


def test_gemma_by_hand() -> None:
    """Heads wider than the hidden width's share, one KV head, a scaled embedding, a gated GELU, a tied head."""
    made = operators(tiny_trace("tiny-gemma", "bf16"), 0)
    assert made["embedding"].dims["scaled"] == 1 and made["embedding"].vector_ops == 6 * 8
    assert "scaled" not in operators(tiny_trace("tiny-llama"), 0)["embedding"].dims
    assert made["qkv_proj"].dims == {"M": 6, "N": (4 + 2) * 6, "K": 8, "bias": 0}
    assert made["attention"].dims["kv_heads"] == 1 and made["o_proj"].dims["K"] == 24
    assert made["act"].dims["gated"] == 1 and made["act"].fused == ("gelu", "mul")
    assert made["lm_head"].dims["N"] == 32 and tiny("tiny-gemma").tie_word_embeddings


def test_a_decoder_without_head_ends_in_the_norm() -> None:
    made = operators(tiny_trace("tiny-embedding"), 0)
    assert list(made)[-2:] == ["down_proj", "final_norm"] and tiny("tiny-embedding").headless
    model = tiny("tiny-embedding")
    assert replace(model, headless=False).n_parameters == model.n_parameters + 33 * 8
    with pytest.raises(TraceError, match="expected 0 for tiny-embedding, which has no language-model head, got 1"):
        build_trace(model, batch=1, prompt=1, generate=1, precision="bf16")


def test_an_encoder_generates_nothing() -> None:
    with pytest.raises(TraceError, match="generate: expected 0 for tiny-bert, an encoder, got 1"):
        build_trace(tiny("tiny-bert"), batch=1, prompt=4, generate=1, precision="bf16")


def test_counts_beyond_64_bits_are_refused() -> None:
    model = load_model_config(Path(__file__).resolve().parents[2] / "configs" / "models" / "llama-3.1-405b.json")
    with pytest.raises(TraceError, match="does not fit 64 bits"):
        build_trace(model, batch=1 << 20, prompt=131_072, generate=0, precision="fp8")
