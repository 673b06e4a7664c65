"""Shards of widths that do not divide, and layers over stages that store more than layers."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.traces import Operator, Partition, TraceError, build_trace, load_model_config, partition
from dieshot.traces.share import Share, share_of
from dieshot.traces.spread import spread_layers

MODELS = Path(__file__).resolve().parents[2] / "configs" / "models"
TINY = Path(__file__).resolve().parents[1] / "data" / "traces"


def padded(name: str, tp: int, pp: int = 1, folder: Path = MODELS) -> Partition:
    model = load_model_config(folder / f"{name}.json")
    trace = build_trace(model, batch=2, prompt=3, generate=2 if model.generates else 0, precision="w8a16")
    return partition(trace, tp, pp, pad=True)


def operators(part: Partition, step: int = 0) -> dict[str, Operator]:
    return {op.name: op for block in part.stages[0].steps[step].blocks for op in block.operators}


@pytest.mark.parametrize(
    ("name", "tp", "share"),
    [
        ("llama-2-70b", 24, Share(heads=3, kv_heads=1, ffn=1195)),  # 72 heads; each KV head on 3 ranks
        ("llama-2-13b", 12, Share(heads=4, kv_heads=4, ffn=1152)),  # 48 of 40 heads
        ("llama-3-8b", 12, Share(heads=3, kv_heads=3, ffn=1195)),  # 8 KV heads and 12 ranks: one for each of 36 heads
        ("llama-3-8b", 6, Share(heads=6, kv_heads=6, ffn=2390)),
        ("llama-3-8b", 8, Share(heads=4, kv_heads=1, ffn=1792)),
        ("llama-3-8b", 2, Share(heads=16, kv_heads=4, ffn=7168)),
    ],
)
def test_shares_by_hand(name: str, tp: int, share: Share) -> None:
    assert share_of(load_model_config(MODELS / f"{name}.json"), tp) == share


def test_every_rank_does_the_work_of_the_largest() -> None:
    made = operators(padded("llama-2-13b", 12))
    assert made["qkv_proj"].dims == {"M": 6, "N": 3 * 4 * 128, "K": 5120, "bias": 0}
    assert made["attention"].dims["heads"] == made["attention"].dims["kv_heads"] == 4
    assert made["o_proj"].dims["K"] == 4 * 128
    assert made["gate_up_proj"].dims["N"] == 2 * 1152 and made["down_proj"].dims["K"] == made["act"].dims["ffn"] == 1152
    assert made["lm_head"].dims["N"] == -(-32000 // 12)


def test_the_cache_grows_with_the_padded_heads() -> None:
    part = padded("llama-3-8b", 12)
    assert part.kv_bytes_per_rank(0) == 32 * 2 * 2 * 4 * 3 * 128 * 2


CASES = list(product(["tiny-llama", "tiny-qwen3", "tiny-moe", "tiny-mistral", "tiny-bert"], [2, 3, 5, 7]))


@pytest.mark.parametrize(("name", "tp"), CASES)
def test_the_excess_of_all_ranks_is_the_padding_and_nothing_else(name: str, tp: int) -> None:
    part = padded(name, tp, folder=TINY)
    model, share = part.trace.model, share_of(part.trace.model, tp)
    whole = {op.name: op for block in part.trace.steps[0].blocks for op in block.operators}
    extra_heads = tp * share.heads - model.num_attention_heads
    extra_kv_heads = tp * share.kv_heads - model.num_key_value_heads
    extra_width = tp * share.ffn - model.ffn
    assert min(extra_heads, extra_kv_heads, extra_width) >= 0
    for one, op in operators(part).items():
        if one not in whole or op.shard == "replicate" or not whole[one].macs:
            continue
        per_column = whole[one].dims.get("M", 0) * whole[one].dims.get("K", 0)
        per_row = whole[one].dims.get("M", 0) * whole[one].dims.get("N", 0)
        excess = {
            "qkv_proj": per_column * (extra_heads + 2 * extra_kv_heads) * model.head_dim,
            "attention": whole[one].macs // model.num_attention_heads * extra_heads,
            "o_proj": per_row * extra_heads * model.head_dim,
            "gate_up_proj": per_column * 2 * extra_width,
            "up_proj": per_column * extra_width,
            "down_proj": per_row * extra_width,
            "experts_gate_up": per_column * 2 * extra_width,
            "experts_down": per_row * extra_width,
            "lm_head": per_column * (-(-model.vocab_size // tp) * tp - model.vocab_size),
        }
        assert tp * op.macs - whole[one].macs == excess[one]


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_padding_changes_nothing_where_all_divides(tp: int) -> None:
    trace = padded("tiny-llama", 1, folder=TINY).trace
    assert partition(trace, tp, 1, pad=True) == partition(trace, tp, 1)


def test_what_does_not_divide_is_refused_unless_padded() -> None:
    trace = padded("tiny-llama", 3, folder=TINY).trace
    with pytest.raises(TraceError, match="tensor_parallel: 3 does not fit 4 heads"):
        partition(trace, 3, 1)
    with pytest.raises(TraceError, match="tensor_parallel: expected an integer from 1 to 16 for tiny-llama, got 17"):
        partition(trace, 17, 1, pad=True)


@pytest.mark.parametrize(
    ("n_layers", "n_stages", "bytes_", "layers"),
    [
        (80, 4, (10, 1, 1), [20, 20, 20, 20]),  # small ends: nobody moves
        (80, 2, (10, 25, 25), [40, 40]),  # ends alike
        (80, 4, (10, 25, 25), [19, 21, 21, 19]),
        (81, 4, (10, 25, 25), [19, 22, 21, 19]),
        (12, 2, (7, 46, 0), [6, 6]),  # an embedding takes no time
        (5, 5, (1, 100, 100), [1, 1, 1, 1, 1]),
        (6, 3, (0, 9, 9), [2, 2, 2]),
    ],
)
def test_layers_over_stages_by_hand(
    n_layers: int, n_stages: int, bytes_: tuple[int, int, int], layers: list[int]
) -> None:
    assert spread_layers(n_layers, n_stages, *bytes_) == layers


@settings(max_examples=200)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_the_largest_stage_is_least_or_the_spread_even(
    n_layers: int, n_stages: int, layer: int, head: int, tail: int
) -> None:
    n_stages = min(n_stages, n_layers)

    def largest(layers: list[int], head: int) -> int:
        return max(n * layer + head * (i == 0) + tail * (i == n_stages - 1) for i, n in enumerate(layers))

    found = spread_layers(n_layers, n_stages, layer, head, tail)
    assert sum(found) == n_layers and min(found) >= 1
    ways = (list(way) for way in product(range(1, n_layers + 1), repeat=n_stages) if sum(way) == n_layers)
    least = min(largest(way, head) for way in ways)
    even = [n_layers // n_stages + (i < n_layers % n_stages) for i in range(n_stages)]
    assert largest(found, 0) <= largest(even, 0)
    assert found == even or largest(found, head) == least <= largest(even, head) - layer / 2
