"""Tensor parallelism: what of a model's width one of `tp` equal ranks holds."""

from dataclasses import dataclass

from dieshot.traces.config import ModelConfig
from dieshot.traces.error import TraceError


@dataclass(frozen=True, slots=True)
class Share:
    """Query heads, KV heads and feed-forward width of a rank; the largest rank's where they do not divide."""

    heads: int
    kv_heads: int
    ffn: int


def share_of(model: ModelConfig, tp: int) -> Share:
    """Return the share of each rank, padded up where `tp` does not divide.

    KV heads fewer than ranks are copied, each to equally many, and the query heads of a group are shared out among
    those. Where KV heads and ranks do not divide one another, each query head gets a KV head of its own: so the Neuron
    libraries pad (replication to the tensor-parallel degree, else conversion to multi-head attention).
    """
    heads, kv_heads = model.num_attention_heads, model.num_key_value_heads
    ffn = -(-model.ffn // tp)
    if kv_heads % tp == 0:
        return Share(heads // tp, kv_heads // tp, ffn)
    if tp % kv_heads == 0:
        return Share(-(-heads // tp), 1, ffn)
    each = -(-heads // tp)
    return Share(each, each, ffn)


def check_tensor_parallel(model: ModelConfig, tp: int) -> None:
    """Raise TraceError unless `tp` divides the heads and the feed-forward width and fits the KV heads."""
    if divides(model, tp):
        return
    most = model.num_attention_heads or model.ffn
    possible = ", ".join(str(n) for n in range(1, most + 1) if divides(model, n))
    heads = f"{model.num_attention_heads} heads ({model.num_key_value_heads} KV heads) and feed-forward width"
    what = f"channels {model.ffn}" if model.recurrent else f"{heads} {model.ffn}"
    problem = f"{tp} does not fit {what} of {model.name}, expected one of {possible}"
    raise TraceError("partition", "tensor_parallel", problem)


def divides(model: ModelConfig, tp: int) -> bool:
    """Return whether `tp` ranks divide heads and feed-forward width, and fit the KV heads."""
    kv_heads = model.num_key_value_heads
    heads_fit = model.num_attention_heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0)
    return heads_fit and model.ffn % tp == 0
