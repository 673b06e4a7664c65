"""Number formats and the precisions that a serving stack is run in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dieshot.traces.error import unknown

# Bits of one element; the exponents and scales that blocks of elements share come on top, see BLOCKS.
DTYPE_BITS: Mapping[str, int] = {
    "fp32": 32,
    "bf16": 16,
    "fp16": 16,
    "fp8": 8,
    "int8": 8,
    "int4": 4,
    "int32": 32,
    "mxint4": 4,
    "mxint8": 8,
    "mxint16": 16,
    "abfp16": 16,
}


class SharedScale(NamedTuple):
    """What `elements` that follow each other have in common, in `bits` stored beside them."""

    elements: int
    bits: int


# MX: 32 elements with an 8-bit exponent (OCP Microscaling Formats, version 1.0, section 5.2); element widths other than
# 8 bits are the same with other integers. ABFP: a 16-bit scale for a vector of 128 (arXiv:2205.06287, section 2).
BLOCKS: Mapping[str, SharedScale] = {
    "mxint4": SharedScale(32, 8),
    "mxint8": SharedScale(32, 8),
    "mxint16": SharedScale(32, 8),
    "abfp16": SharedScale(128, 16),
}


def bytes_of(n_elements: int, dtype: str) -> int:
    """Return the bytes that `n_elements` of `dtype` take, packed, with their shared scales, rounded up to a byte."""
    n_bits = n_elements * DTYPE_BITS[dtype]
    if dtype in BLOCKS:
        n_bits += -(-n_elements // BLOCKS[dtype].elements) * BLOCKS[dtype].bits
    return -(-n_bits // 8)


def elements_in(n_bytes: int, dtype: str) -> int:
    """Return how many elements of `dtype` take at most `n_bytes`, in whole blocks where they share scales."""
    if dtype not in BLOCKS:
        return n_bytes * 8 // DTYPE_BITS[dtype]
    scale = BLOCKS[dtype]
    return n_bytes * 8 // (scale.elements * DTYPE_BITS[dtype] + scale.bits) * scale.elements


@dataclass(frozen=True, slots=True)
class Precision:
    """The formats of one way to run a model.

    block: data of the GEMMs inside the layers, and what their multipliers take. weight: their stored weights.
    carrier: residual stream, norms, attention, router, and what the language-model head takes and gives.
    ends: stored weights of embedding and head; the carrier's format where empty. Scales of
    quantised tensors in formats without BLOCKS are not counted (below 0.1 % of the bytes, one a row or a tensor).
    """

    name: str
    block: str
    weight: str
    carrier: str
    ends: str = ""

    @property
    def table(self) -> str:
        """The format of the stored embedding and language-model head."""
        return self.ends or self.carrier

    @property
    def quantised(self) -> bool:
        """Whether a kernel that feeds a layer's GEMM has to narrow its output first."""
        return self.block != self.carrier


PRECISIONS: Mapping[str, Precision] = {
    "bf16": Precision("bf16", block="bf16", weight="bf16", carrier="bf16"),
    "fp16": Precision("fp16", block="fp16", weight="fp16", carrier="fp16"),
    "fp8": Precision("fp8", block="fp8", weight="fp8", carrier="bf16"),
    "int8": Precision("int8", block="int8", weight="int8", carrier="bf16"),
    "w8a16": Precision("w8a16", block="bf16", weight="int8", carrier="bf16"),
    "w4a8": Precision("w4a8", block="int8", weight="int4", carrier="bf16", ends="int4"),
    "mxint4": Precision("mxint4", block="mxint4", weight="mxint4", carrier="mxint16", ends="mxint8"),
    "mxint8": Precision("mxint8", block="mxint8", weight="mxint8", carrier="mxint16", ends="mxint8"),
    "mxint16": Precision("mxint16", block="mxint16", weight="mxint16", carrier="mxint16"),
    "abfp16": Precision("abfp16", block="abfp16", weight="abfp16", carrier="abfp16"),
}

KV_PRECISIONS = ("bf16", "fp16", "fp8", "int8", "int4", "mxint8", "mxint16", "abfp16")


def precision_named(name: str, where: str = "build_trace") -> Precision:
    """Return the precision called `name`; TraceError when there is none."""
    if name not in PRECISIONS:
        raise unknown(where, "precision", name, PRECISIONS)
    return PRECISIONS[name]


def check_kv_precision(name: str, where: str = "build_trace") -> str:
    """Return `name` when it is a format that a KV cache can be kept in; TraceError otherwise."""
    if name not in KV_PRECISIONS:
        raise unknown(where, "kv_precision", name, KV_PRECISIONS)
    return name
