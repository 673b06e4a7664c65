"""Number formats and the precisions that a serving stack is run in."""

from collections.abc import Mapping
from dataclasses import dataclass

from dieshot.traces.error import unknown

DTYPE_BITS: Mapping[str, int] = {"fp32": 32, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "int32": 32}


def bytes_of(n_elements: int, dtype: str) -> int:
    """Return the bytes that `n_elements` of `dtype` take, packed, rounded up to a byte."""
    return -(-n_elements * DTYPE_BITS[dtype] // 8)


@dataclass(frozen=True, slots=True)
class Precision:
    """The formats of one way to run a model.

    block: data of the GEMMs inside the layers, and what their multipliers take. weight: their stored weights.
    carrier: residual stream, norms, attention, router, embedding and language-model head.
    Scales of quantised tensors are not counted (below 0.1 % of the bytes with one scale per row or tensor).
    """

    name: str
    block: str
    weight: str
    carrier: str

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
}

KV_PRECISIONS = ("bf16", "fp16", "fp8", "int8")


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
