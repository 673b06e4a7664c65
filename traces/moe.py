"""The mixture-of-experts feed-forward: router, permutation, grouped GEMMs, weighted sum."""

from dieshot.traces.dtype import bytes_of
from dieshot.traces.forward import ForwardPass
from dieshot.traces.layer import activation
from dieshot.traces.make import make_operator
from dieshot.traces.operator import Operator
from dieshot.traces.work import ROUTING_BYTES, Formats


def expert_feed_forward(step: ForwardPass, group_rows: tuple[int, ...]) -> tuple[Operator, ...]:
    """Return the feed-forward of one layer; `group_rows` are the rows of each expert, tokens x top_k in all."""
    model = step.model
    rows, ffn = step.tokens * model.num_experts_per_tok, model.moe_intermediate_size
    return (
        _router(step),
        _route(step),
        _grouped(step, "experts_gate_up", (2 * ffn, model.hidden_size), "route", "experts_column", group_rows),
        activation(step, "experts_act", rows, ffn, True, "experts_gate_up"),
        _grouped(step, "experts_down", (model.hidden_size, ffn), "experts_act", "experts_row", group_rows),
        _combine(step),
    )


def _router(step: ForwardPass) -> Operator:
    dims = {"M": step.tokens, "N": step.model.num_experts, "K": step.model.hidden_size, "bias": 0}
    return make_operator("router", "gemm", dims, step.carrier, "post_attention_norm", fused=("router",))


def _route(step: ForwardPass) -> Operator:
    model = step.model
    dims = {
        "tokens": step.tokens,
        "experts": model.num_experts,
        "top_k": model.num_experts_per_tok,
        "hidden": model.hidden_size,
    }
    logits_bytes = bytes_of(step.tokens * model.num_experts, step.precision.carrier)
    inputs = {"router": logits_bytes, "post_attention_norm": step.hidden_bytes}
    fused = step.fused("softmax", "top_k", "permute")
    return make_operator("route", "route", dims, step.narrowing, inputs, fused=fused)


def _grouped(
    step: ForwardPass, name: str, width: tuple[int, int], producer: str, shard: str, group_rows: tuple[int, ...]
) -> Operator:
    rows = step.tokens * step.model.num_experts_per_tok
    dims = {"M": rows, "N": width[0], "K": width[1], "experts": step.model.num_experts}
    fused = ("gate_proj", "up_proj") if shard == "experts_column" else ("down_proj",)
    return make_operator(
        name,
        "grouped_gemm",
        dims,
        step.gemm,
        producer,
        shard=shard,
        fused=fused,
        group_rows=group_rows,
        sparsity=step.sparsity,
    )


def _combine(step: ForwardPass) -> Operator:
    model, carrier = step.model, step.precision.carrier
    rows = step.tokens * model.num_experts_per_tok
    dims = {"tokens": step.tokens, "hidden": model.hidden_size, "top_k": model.num_experts_per_tok}
    inputs = {"experts_down": bytes_of(rows * model.hidden_size, carrier), "route": rows * ROUTING_BYTES}
    formats = Formats(carrier, None, carrier)
    return make_operator("moe_combine", "moe_combine", dims, formats, inputs, fused=("unpermute", "weighted_sum"))
