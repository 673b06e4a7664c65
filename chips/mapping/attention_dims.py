"""What every architecture's attention is given: sequences, queries, keys, heads and formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dieshot.traces.operator import Operator


@dataclass(frozen=True, slots=True)
class AttentionDims:
    """One layer's attention on one chip: `q_len` queries at the end of `kv_len` keys, a sequence each of `batch`."""

    batch: int
    q_len: int
    kv_len: int
    heads: int
    kv_heads: int
    head_dim: int
    causal: bool
    window: int
    dtype: str
    kv_dtype: str

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.kv_heads


def attention_dims(operator: Operator) -> dict[str, Any]:
    """Return the fields of AttentionDims of an attention operator."""
    dims = operator.dims
    sizes = {key: dims[key] for key in ("batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim", "window")}
    return {
        **sizes,
        "causal": bool(dims["causal"]),
        "dtype": operator.dtype,
        "kv_dtype": operator.kv_dtype or operator.dtype,
    }
