"""Small chips with static schedules, and random stretches of operators to compile for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from hypothesis import strategies as st

from dieshot.chips.mapping.static.compile import Compiler
from dieshot.chips.mapping.static.machine import LinkTiming, StaticMachine, machine_of
from dieshot.chips.mapping.static.schedule import Program
from dieshot.chips.parameters.static_dataflow import StaticDataflowParameters
from dieshot.simulator.params import LinkParameters, find_document, resolve
from dieshot.traces import Operator
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL
from dieshot.traces.work import Formats

LANES = 16
GROUP = 16


@cache
def lpu() -> StaticDataflowParameters:
    """Return the parameters of the catalog's chip."""
    return resolve(find_document("chips", "lpu-v1"), StaticDataflowParameters, []).values


@cache
def link() -> LinkParameters:
    """Return the catalog's links."""
    return resolve(find_document("links", "groq-c2c"), LinkParameters, []).values


@cache
def lpu_machine(group: int = GROUP) -> StaticMachine:
    """Return the catalog's chip in a stage of `group` chips."""
    return machine_of(lpu(), link(), group)


@cache
def small_machine(group: int = GROUP) -> StaticMachine:
    """Return a chip of 16 lanes, 16 streams a way and 26 slices a hemisphere."""
    p = lpu()
    small = replace(
        p,
        memory=2 * 26 * 1024 * LANES,
        streams=replace(p.streams, lanes=LANES, per_direction=16, superlane_skew=4),
        mem=replace(p.mem, slices=26, rows=1024),
        mxm=replace(p.mxm, mac_rate={"int8": 4 * LANES**2, "fp16": LANES**2}, latency=12, accumulator_rows=8),
    )
    return StaticMachine(small, machine_of(p, None, 1).period_fs, LinkTiming(9, 40, group))


def formats(precision: str) -> Formats:
    """Return the formats of a GEMM."""
    data, weight = {"w8a16": ("bf16", "int8"), "int8": ("int8", "int8"), "fp16": ("fp16", "fp16")}[precision]
    return Formats(data, weight, "bf16")


def layer(
    tokens: int,
    hidden: int,
    ffn: int,
    heads: int,
    head_dim: int,
    kv_len: int,
    precision: str,
    group: int,
    queries: int = 1,
    kv_dtype: str = "bf16",
    bias: int = 0,
) -> tuple[Operator, ...]:
    """Return a decoder layer as one rank sees it: sequences of `queries` new tokens each, `tokens` in all."""
    gemm = formats(precision)
    narrow = Formats("bf16", None, gemm.data)
    norm = Formats("bf16", "bf16", gemm.data)
    attention = {"batch": tokens // queries, "q_len": queries, "kv_len": kv_len + queries - 1}
    shape = {"heads": heads, "kv_heads": 1, "head_dim": head_dim}
    made = [
        _norm("input_norm", tokens, hidden, norm, PREVIOUS),
        _gemm("qkv_proj", tokens, (heads + 2) * head_dim, hidden, gemm, "input_norm", bias),
        make_operator(
            "rope_kv_append",
            "rope_kv_append",
            {"tokens": tokens, **shape, "qk_norm": 0},
            Formats("bf16", None, "bf16", kv_dtype),
            "qkv_proj",
        ),
        make_operator(
            "attention",
            "attention",
            {**attention, **shape, "causal": 1, "window": 0},
            Formats("bf16", None, gemm.data, kv_dtype),
            "rope_kv_append",
        ),
        _gemm("o_proj", tokens, hidden, heads * head_dim, gemm, "attention"),
    ]
    last = "o_proj"
    if group > 1:
        made.append(_all_reduce("o_proj_all_reduce", tokens * hidden, group, "o_proj"))
        last = made[-1].name
    made += [
        _norm("post_attention_norm", tokens, hidden, norm, last),
        _gemm("gate_up_proj", tokens, 2 * ffn, hidden, gemm, "post_attention_norm"),
        make_operator("act", "activation", {"tokens": tokens, "ffn": ffn, "gated": 1}, narrow, "gate_up_proj"),
        _gemm("down_proj", tokens, hidden, ffn, gemm, "act"),
    ]
    if group > 1:
        made.append(_all_reduce("down_proj_all_reduce", tokens * hidden, group, "down_proj"))
    return tuple(made)


def _norm(name: str, tokens: int, hidden: int, kept: Formats, producer: str) -> Operator:
    dims = {"tokens": tokens, "hidden": hidden, "residual": 1, "writes_residual": 1, "shift": 0}
    inputs = {producer: 2 * tokens * hidden, RESIDUAL: 2 * tokens * hidden}
    return make_operator(name, "norm", dims, kept, inputs)


def _gemm(name: str, M: int, N: int, K: int, kept: Formats, producer: str, bias: int = 0) -> Operator:
    return make_operator(name, "gemm", {"M": M, "N": N, "K": K, "bias": bias}, kept, producer)


def _all_reduce(name: str, elements: int, group: int, producer: str) -> Operator:
    kept = Formats("bf16", None, "bf16")
    return make_operator(name, "all_reduce", {"elements": elements, "group": group}, kept, producer)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[StaticMachine, tuple[Operator, ...]]:
    """Return a small chip and a layer or a part of one, of any shape."""
    group = draw(st.sampled_from([1, 4, 8, 16, 24]))
    queries = draw(st.sampled_from([1, 1, 2, 5, 11]))
    whole = layer(
        queries=queries,
        bias=draw(st.integers(0, 1)),
        tokens=queries * draw(st.integers(1, 12 if queries == 1 else 2)),
        kv_dtype=draw(st.sampled_from(["bf16", "bf16", "int8"])),
        hidden=draw(st.integers(8, 120)),
        ffn=draw(st.integers(4, 100)),
        heads=draw(st.integers(1, 4)),
        head_dim=draw(st.sampled_from([4, 8, 16])),
        kv_len=draw(st.integers(1, 60)),
        precision=draw(st.sampled_from(["w8a16", "int8", "fp16"])),
        group=group,
    )
    first = draw(st.integers(0, len(whole) - 1))
    count = draw(st.integers(1, len(whole) - first))
    return draw(machines(group)), whole[first : first + count]


@st.composite
def machines(draw: st.DrawFn, group: int) -> StaticMachine:
    """Return a small chip with latencies, units and links of any kind."""
    plain = small_machine(group)
    p = plain.parameters
    other = replace(
        p,
        mem=replace(p.mem, read_latency=draw(st.integers(1, 8)), write_latency=draw(st.integers(1, 5))),
        mxm=replace(p.mxm, latency=draw(st.integers(1, 30)), accumulator_rows=draw(st.integers(1, 9))),
        vxm=replace(
            p.vxm,
            simple_latency=draw(st.integers(1, 6)),
            transcendental_latency=draw(st.integers(1, 16)),
            weight_conversion=draw(st.sampled_from(["vxm", "mxm"])),
        ),
        sxm=replace(p.sxm, units=draw(st.integers(2, 6)), latency=draw(st.integers(1, 9))),
        c2c=replace(p.c2c, receive_rows=draw(st.integers(24, 64))),
    )
    timing = LinkTiming(draw(st.integers(min(group, 8) - 1 or 1, 12)), draw(st.integers(1, 60)), group)
    return StaticMachine(other, plain.period_fs, timing)


def programs(machine: StaticMachine, operators: Sequence[Operator]) -> list[Program]:
    """Return the programs of all pieces of a stretch, each once."""
    found = {id(program): program for _, program in Compiler(machine).pieces(operators)}
    return list(found.values())
