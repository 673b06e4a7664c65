"""The layer of a Llama-like decoder: pre-norm, rotary embedding, grouped-query attention, gated feed-forward.

Every layer adds the residual stream in its first norm, the first layer too, which in a serving stack adds nothing
yet: so all layers are the same block.
"""

from collections.abc import Mapping

from dieshot.traces.forward import ForwardPass
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator
from dieshot.traces.work import Formats


def before_attention(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the operators of a layer up to the query and the cache: norm, qkv projection, rotation and append."""
    return (add_norm(step, "input_norm", PREVIOUS, step.precision.block), qkv_proj(step, "input_norm"), _rope(step))


def attention(step: ForwardPass) -> Operator:
    """Return the attention kernel, the only operator of a decode step that depends on kv_len."""
    model = step.model
    dims = {
        "batch": step.batch,
        "q_len": step.q_len,
        "kv_len": step.kv_len,
        "heads": model.num_attention_heads,
        "kv_heads": model.num_key_value_heads,
        "head_dim": model.head_dim,
        "causal": int(not model.encoder),
        "window": model.sliding_window,
    }
    narrowing = step.narrowing
    formats = Formats(narrowing.data, None, narrowing.output, None if model.encoder else step.kv_dtype)
    producer = "qkv_proj" if model.encoder else "rope_kv_append"
    fused = step.fused("qk", "softmax", "pv")
    return make_operator("attention", "attention", dims, formats, producer, shard="heads", fused=fused)


def after_attention(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the output projection and the norm before the feed-forward."""
    # A router reads the carrier format; its route kernel narrows the rows afterwards.
    output_dtype = step.precision.carrier if step.model.sparse else step.precision.block
    return (o_proj(step), add_norm(step, "post_attention_norm", "o_proj", output_dtype))


def feed_forward(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the dense gated feed-forward: merged gate and up projection, activation, down projection."""
    ffn, hidden, bias = step.model.intermediate_size, step.model.hidden_size, int(step.model.mlp_bias)
    fused = ("gate_proj", "up_proj", "bias") if bias else ("gate_proj", "up_proj")
    return (
        gemm(step, "gate_up_proj", 2 * ffn, hidden, bias, "post_attention_norm", "column", fused),
        activation(step, "act", step.tokens, ffn, True, "gate_up_proj"),
        gemm(step, "down_proj", hidden, ffn, bias, "act", "row"),
    )


def qkv_proj(step: ForwardPass, producer: str) -> Operator:
    """Return the merged projection to queries, keys and values."""
    model = step.model
    N = (model.num_attention_heads + 2 * model.num_key_value_heads) * model.head_dim
    fused = ("q_proj", "k_proj", "v_proj", "bias") if model.qkv_bias else ("q_proj", "k_proj", "v_proj")
    return gemm(step, "qkv_proj", N, model.hidden_size, int(model.qkv_bias), producer, "column", fused)


def o_proj(step: ForwardPass) -> Operator:
    """Return the projection of the attention output back to the hidden width."""
    model = step.model
    K = model.num_attention_heads * model.head_dim
    return gemm(step, "o_proj", model.hidden_size, K, int(model.output_bias), "attention", "row")


def gemm(
    step: ForwardPass, name: str, N: int, K: int, bias: int, producer: str, shard: str, fused: tuple[str, ...] = ()
) -> Operator:
    """Return a GEMM of a layer over all new tokens, its bias in the epilogue."""
    dims = {"M": step.tokens, "N": N, "K": K, "bias": bias}
    fused = fused or ((name, "bias") if bias else (name,))
    return make_operator(name, "gemm", dims, step.gemm, producer, shard=shard, fused=fused, sparsity=step.sparsity)


def activation(
    step: ForwardPass, name: str, rows: int, ffn: int, gated: bool, producer: str | Mapping[str, int]
) -> Operator:
    """Return the activation kernel, which narrows its output for the next GEMM."""
    dims = {"tokens": rows, "ffn": ffn, "gated": int(gated)}
    logical = (step.model.hidden_act, "mul") if gated else (step.model.hidden_act,)
    fused = step.fused(*logical)
    return make_operator(name, "activation", dims, step.narrowing, producer, shard="column", fused=fused)


def add_norm(step: ForwardPass, name: str, producer: str, output_dtype: str) -> Operator:
    """Return the norm of the residual stream and what is added to it, written in both formats."""
    dims = {"tokens": step.tokens, "hidden": step.model.hidden_size, "residual": 1, "writes_residual": 1, "shift": 0}
    formats = Formats(step.precision.carrier, step.precision.carrier, output_dtype)
    inputs = {producer: step.hidden_bytes, RESIDUAL: step.hidden_bytes}
    fused = ("add", "norm", "quantise") if output_dtype != step.precision.carrier else ("add", "norm")
    return make_operator(name, "norm", dims, formats, inputs, fused=fused)


def _rope(step: ForwardPass) -> Operator:
    model, carrier = step.model, step.precision.carrier
    dims = {
        "tokens": step.tokens,
        "heads": model.num_attention_heads,
        "kv_heads": model.num_key_value_heads,
        "head_dim": model.head_dim,
        "qk_norm": int(model.qk_norm),
    }
    formats = Formats(carrier, carrier if model.qk_norm else None, carrier, step.kv_dtype)
    fused = ("q_norm", "k_norm", "rope", "kv_append") if model.qk_norm else ("rope", "kv_append")
    return make_operator("rope_kv_append", "rope_kv_append", dims, formats, "qkv_proj", shard="heads", fused=fused)
