"""Random operators of one rank: GEMMs, attention of both phases, streams, collectives."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from dieshot.traces import Operator
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS
from dieshot.traces.sparsity import sparsity_of
from dieshot.traces.work import Formats

DTYPES = ("fp8", "bf16")
ROWS = st.one_of(st.integers(1, 64), st.sampled_from([128, 200, 512, 1024]))
WIDTHS = st.one_of(st.integers(1, 64).map(lambda blocks: 64 * blocks), st.integers(17, 3000))


def operator(kind: str, dims: Mapping[str, int], dtype: str, kv_dtype: str | None = None) -> Operator:
    """Return an operator of one format that reads what the one before it wrote."""
    weight = dtype if kind in ("gemm", "grouped_gemm", "norm", "embedding") else None
    return make_operator(kind, kind, dims, Formats(dtype, weight, "bf16", kv_dtype), PREVIOUS)


@st.composite
def gemms(draw: st.DrawFn) -> Operator:
    """Return a GEMM of up to 1024 rows."""
    dims = {"M": draw(ROWS), "N": draw(WIDTHS), "K": draw(WIDTHS), "bias": 0}
    return operator("gemm", dims, draw(st.sampled_from(DTYPES)))


@st.composite
def narrow_gemms(draw: st.DrawFn) -> Operator:
    """Return a GEMM whose weights are int8 beside bf16 operands, or 2:4-compressed, or both."""
    dtype, weight, pattern = draw(
        st.sampled_from(
            [("bf16", "int8", "dense"), ("bf16", "int8", "2:4"), ("bf16", "bf16", "2:4"), ("fp8", "fp8", "2:4")]
        )
    )
    dims = {"M": draw(ROWS), "N": draw(WIDTHS), "K": draw(WIDTHS), "bias": 0}
    sparsity = sparsity_of(pattern, None, "draw")
    return make_operator("gemm", "gemm", dims, Formats(dtype, weight, "bf16"), PREVIOUS, sparsity=sparsity)


@st.composite
def attentions(draw: st.DrawFn) -> Operator:
    """Return attention of decode or prefill, with shared heads and windows."""
    kv_heads = draw(st.sampled_from([1, 2, 8]))
    q_len = draw(st.one_of(st.just(1), st.integers(2, 400)))
    causal = draw(st.booleans())
    dims = {
        "batch": draw(st.integers(1, 4)),
        "q_len": q_len,
        "kv_len": q_len + draw(st.one_of(st.just(0), st.integers(0, 3000))),
        "heads": kv_heads * draw(st.sampled_from([1, 4, 8])),
        "kv_heads": kv_heads,
        "head_dim": draw(st.sampled_from([64, 128])),
        "causal": int(causal),
        "window": draw(st.sampled_from([0, 0, 300])) if causal else 0,
    }
    return operator("attention", dims, "bf16", draw(st.sampled_from(DTYPES)))


@st.composite
def streams(draw: st.DrawFn) -> Operator:
    """Return a memory-bound operator."""
    tokens = draw(ROWS)
    kind = draw(st.sampled_from(["activation", "norm", "rope_kv_append"]))
    if kind == "activation":
        return operator(kind, {"tokens": tokens, "ffn": draw(WIDTHS), "gated": 1}, "bf16")
    if kind == "norm":
        dims = {"tokens": tokens, "hidden": draw(WIDTHS), "residual": 0, "writes_residual": 0, "shift": 0}
        return operator(kind, dims, "bf16")
    return operator(kind, {"tokens": tokens, "heads": 16, "kv_heads": 4, "head_dim": 64, "qk_norm": 0}, "bf16", "bf16")


def local() -> st.SearchStrategy[Operator]:
    """Return any operator that a chip carries out on its own."""
    return st.one_of(gemms(), attentions(), streams())


def all_reduce(elements: int, group: int) -> Operator:
    """Return an all-reduce of bf16 elements."""
    return operator("all_reduce", {"elements": elements, "group": group}, "bf16")
