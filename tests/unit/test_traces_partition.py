"""What one rank runs, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from dieshot.traces import Operator, Partition, TraceError, build_trace, load_model_config, partition
from dieshot.traces.dtype import bytes_of, elements_in

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
MODELS = Path(__file__).resolve().parents[2] / "configs" / "models"


def split(name: str, tp: int, pp: int, precision: str = "fp8", folder: Path = DATA, batch: int = 2) -> Partition:
    model = load_model_config(folder / f"{name}.json")
    generate = 3 if model.generates else 0
    trace = build_trace(model, batch=batch, prompt=3, generate=generate, precision=precision)
    return partition(trace, tp, pp)


def names(part: Partition, stage: int, step: int = 0) -> dict[str, list[str]]:
    return {block.name: [op.name for op in block.operators] for block in part.stages[stage].steps[step].blocks}


def operators(part: Partition, stage: int = 0, step: int = 0) -> dict[str, Operator]:
    return {op.name: op for block in part.stages[stage].steps[step].blocks for op in block.operators}


def test_one_rank_runs_the_trace_itself() -> None:
    part = split("tiny-llama", 1, 1)
    assert part.stages[0].steps is part.trace.steps and part.stages[0].layers == 3


def test_collectives_follow_what_is_incomplete() -> None:
    assert names(split("tiny-llama", 2, 1), 0) == {
        "head": ["embedding", "embedding_all_reduce"],
        "layers": [
            *("input_norm", "qkv_proj", "rope_kv_append", "attention", "o_proj", "o_proj_all_reduce"),
            *("post_attention_norm", "gate_up_proj", "act", "down_proj", "down_proj_all_reduce"),
        ],
        "tail": ["final_norm", "lm_head", "lm_head_all_gather", "sample"],
    }


def test_readers_of_incomplete_outputs_read_the_collective() -> None:
    made = operators(split("tiny-llama", 2, 1))
    assert made["post_attention_norm"].inputs == {"o_proj_all_reduce": 96, "@residual": 96}
    assert made["sample"].inputs == {"lm_head_all_gather": 128}
    gather, reduce = made["lm_head_all_gather"], made["o_proj_all_reduce"]
    assert (gather.dims, gather.inputs, gather.output_bytes) == ({"elements": 64, "group": 2}, {"lm_head": 64}, 128)
    assert (reduce.dims, reduce.input_bytes, reduce.output_bytes) == ({"elements": 48, "group": 2}, 96, 96)


def test_a_rank_of_two_by_hand() -> None:
    made = operators(split("tiny-llama", 2, 1))
    assert made["qkv_proj"].dims == {"M": 6, "N": 8, "K": 8, "bias": 0} and made["qkv_proj"].input_bytes == 48
    assert made["o_proj"].dims == {"M": 6, "N": 8, "K": 4, "bias": 0} and made["o_proj"].output_bytes == 96
    assert made["attention"].dims["heads"] == 2 and made["attention"].dims["kv_heads"] == 1
    assert made["act"].dims["ffn"] == 8 and made["lm_head"].dims["N"] == 16
    assert made["embedding"].weight_bytes == 3 * 8 * 2 and made["embedding"].output_bytes == 96


def test_experts_are_split_along_their_width() -> None:
    made = operators(split("tiny-moe", 4, 1))
    assert made["experts_gate_up"].dims == {"M": 12, "N": 6, "K": 16, "experts": 6}
    assert made["experts_down"].dims == {"M": 12, "N": 16, "K": 3, "experts": 6}
    assert made["router"].dims["N"] == 6 and made["route"].shard == "replicate"
    assert list(made).index("moe_combine_all_reduce") == list(made).index("moe_combine") + 1
    assert "experts_down_all_reduce" not in made


def test_kv_heads_fewer_than_ranks_are_copied() -> None:
    part = split("tiny-qwen3", 4, 1)
    made = operators(part)
    assert made["attention"].dims["kv_heads"] == 1 and made["qkv_proj"].dims["N"] == (1 + 2) * 4
    # 5 layers, 2 sequences of 5 tokens, one KV head of 4, keys and values, 2 bytes: the same on each of the ranks.
    assert part.kv_bytes_per_rank(0) == 5 * 2 * 5 * 4 * 2 * 2


def test_vocabulary_is_padded_to_the_ranks() -> None:
    made = operators(split("tiny-qwen3", 2, 1))
    assert made["lm_head"].dims["N"] == made["embedding"].dims["vocab"] == 17
    assert made["lm_head_all_gather"].dims["elements"] == 2 * 34 and made["sample"].dims["vocab"] == 33


def test_tied_head_is_stored_once_where_it_meets_the_embedding() -> None:
    tied, table = split("tiny-qwen3", 1, 1, "bf16"), 33 * 8 * 2
    assert tied.weight_bytes_per_rank(0) == 2 * tied.trace.model.n_parameters
    first, last = split("tiny-qwen3", 1, 2, "bf16"), 1
    both = first.weight_bytes_per_rank(0) + first.weight_bytes_per_rank(last)
    assert both == tied.weight_bytes_per_rank(0) + table


def test_layers_are_spread_with_the_remainder_in_front() -> None:
    part = split("tiny-qwen3", 1, 3)
    assert [stage.layers for stage in part.stages] == [2, 2, 1]
    assert [list(names(part, stage)) for stage in range(3)] == [
        ["head", "layers", "send"],
        ["layers", "send"],
        ["layers", "tail"],
    ]
    assert [stage.steps[0].blocks[-2 if stage.index < 2 else 0].repeat for stage in part.stages] == [2, 2, 1]


def test_a_stage_sends_the_output_and_the_residual_stream() -> None:
    send = operators(split("tiny-llama", 2, 2))["send"]
    assert send.kind == "send_recv" and send.inputs == {"@prev": 96, "@residual": 96} and send.dims == {"elements": 96}
    # BERT's norm output is its residual stream: 2 x 3 x 8 narrow values and the same in 16 bits, or those alone.
    assert operators(split("tiny-bert", 1, 2))["send"].inputs == {"@prev": 48 + 96}
    assert operators(split("tiny-bert", 1, 2, "bf16"))["send"].inputs == {"@prev": 96}


def test_a_sliding_window_bounds_the_cache() -> None:
    model = load_model_config(DATA / "tiny-mistral.json")
    trace = build_trace(model, batch=1, prompt=30, generate=2, precision="bf16")
    assert partition(trace, 2, 2).kv_bytes_per_rank(1) == 2 * (5 * 2 * 2 * 2 * 2)


def test_llama_3_70b_over_eight_ranks() -> None:
    part = split("llama-3-70b", 8, 1, folder=MODELS, batch=1)
    weights = part.weight_bytes_per_rank(0)
    # 8-bit layers, 16-bit embedding, head and norms.
    model = part.trace.model
    wide = 2 * model.vocab_size * 8192 + 161 * 8192
    assert weights == (model.n_parameters - wide) // 8 + 2 * (wide - 161 * 8192) // 8 + 2 * 161 * 8192
    assert part.kv_bytes_per_rank(0) == 327_680 * 5 // 8


def test_decode_steps_share_operators_and_blocks() -> None:
    part = split("tiny-llama", 2, 1)
    first, last = operators(part, 0, 1), operators(part, 0, 2)
    assert [name for name, op in first.items() if op is not last[name]] == ["attention"]
    assert part.stages[0].steps[1].blocks[0] is part.stages[0].steps[2].blocks[0]


@pytest.mark.parametrize(
    ("name", "tp", "pp", "message"),
    [
        ("tiny-llama", 3, 1, "tensor_parallel: 3 does not fit 4 heads (2 KV heads) and feed-forward width 16"),
        ("tiny-llama", 3, 1, "expected one of 1, 2, 4"),
        ("tiny-llama", 8, 1, "tensor_parallel: expected an integer from 1 to 4 for tiny-llama, got 8"),
        ("tiny-llama", 0, 1, "tensor_parallel: expected an integer from 1 to 4 for tiny-llama, got 0"),
        ("tiny-llama", True, 1, "tensor_parallel: expected an integer from 1 to 4 for tiny-llama, got True"),
        ("tiny-llama", 1, 5, "pipeline_parallel: expected an integer from 1 to 4 for tiny-llama, got 5"),
        ("tiny-llama", 1, 0, "pipeline_parallel: expected an integer from 1 to 4 for tiny-llama, got 0"),
    ],
)
def test_bad_degree_is_named(name: str, tp: int, pp: int, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        split(name, tp, pp)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_heads_of_a_file_that_are_not_the_models_are_refused() -> None:
    model = load_model_config(DATA / "tiny-llama.json")
    trace = build_trace(model, batch=1, prompt=1, generate=0, precision="bf16")
    other = replace(trace, model=replace(model, num_key_value_heads=4))
    with pytest.raises(TraceError, match=r"qkv_proj\.dims\.N: expected 24 as in the trace's model, got 16"):
        partition(other, 2, 1)


def test_blocks_of_another_form_are_refused() -> None:
    model = load_model_config(DATA / "tiny-llama.json")
    trace = build_trace(model, batch=1, prompt=1, generate=0, precision="bf16")
    headless = replace(trace, steps=(replace(trace.steps[0], blocks=trace.steps[0].blocks[1:]),))
    with pytest.raises(TraceError, match="step 0: expected the blocks head, layers x 3, tail"):
        partition(headless, 1, 1)


def test_the_head_is_a_stage_of_its_own_after_the_last_layer() -> None:
    model = load_model_config(DATA / "tiny-llama.json")
    trace = build_trace(model, batch=2, prompt=6, generate=3, precision="fp8", chunk=3)
    apart, together = partition(trace, 1, 4), partition(trace, 1, 3)
    assert [stage.layers for stage in apart.stages] == [1, 1, 1, 0]
    assert [list(names(apart, stage, 1)) for stage in range(4)] == [
        ["head", "layers", "send"],
        ["layers", "send"],
        ["layers", "send"],
        ["tail"],
    ]
    # The first half of the prompt yields no token: nothing goes to the head.
    assert [list(names(apart, stage, 0)) for stage in (1, 2, 3)] == [["layers", "send"], ["layers"], []]
    middle, last = operators(apart, 1, 1)["send"], operators(apart, 2, 1)["send"]
    assert middle.output_bytes == 3 * last.output_bytes
    assert sum(apart.weight_bytes_per_rank(stage) for stage in range(4)) == sum(
        together.weight_bytes_per_rank(stage) for stage in range(3)
    )


@pytest.mark.parametrize(
    ("dtype", "n_elements", "n_bytes"),
    [("mxint4", 64, 34), ("mxint4", 65, 36), ("mxint8", 32, 33), ("abfp16", 256, 516), ("int4", 6, 3), ("bf16", 5, 10)],
)
def test_blocks_of_elements_bring_their_scales(dtype: str, n_elements: int, n_bytes: int) -> None:
    assert bytes_of(n_elements, dtype) == n_bytes
    assert elements_in(n_bytes, dtype) <= n_elements
    assert bytes_of(elements_in(n_bytes, dtype), dtype) <= n_bytes


@pytest.mark.parametrize(("precision", "table"), [("mxint4", "mxint8"), ("w4a8", "int4"), ("w8a16", "bf16")])
def test_embedding_and_head_have_their_own_stored_format(precision: str, table: str) -> None:
    made = operators(split("tiny-llama", 1, 1, precision))
    assert made["embedding"].weight_dtype == made["lm_head"].weight_dtype == table
    assert made["lm_head"].dtype == made["attention"].dtype
