"""Tensor parallelism: the part of an operator that one of `tp` equal ranks runs, and the collective after it."""

from collections.abc import Mapping
from dataclasses import replace

from dieshot.traces.config import ModelConfig
from dieshot.traces.error import TraceError
from dieshot.traces.make import make_operator
from dieshot.traces.mamba import rank_inputs
from dieshot.traces.operator import Operator
from dieshot.traces.share import share_of
from dieshot.traces.sparsity import Sparsity
from dieshot.traces.work import Formats


def rank_part(
    operator: Operator, model: ModelConfig, tp: int, completed: tuple[str | None, ...]
) -> tuple[Operator, ...]:
    """Return what one rank runs for this operator: its part, then the collective that completes the output.

    completed: for each input, in order, the collective to read instead, None to read the producer itself.
    An all_reduce follows the embedding (rows split over the ranks), each row-parallel GEMM and the weighted sum of
    the experts; an all_gather follows the language-model head.
    """
    part = _redirect(shard_operator(operator, model, tp), completed)
    collective = _collective(part, tp)
    return (part, collective) if collective else (part,)


def shard_operator(operator: Operator, model: ModelConfig, tp: int) -> Operator:
    """Return the part of one rank; an operator that is not split is returned as it is."""
    dims = _rank_dims(operator, model, tp)
    if dims == operator.dims:
        return operator
    formats = Formats(operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    producer = next(iter(operator.inputs))
    if len(operator.inputs) != 1 and not model.recurrent:
        raise TraceError("partition", operator.name, f"{operator.shard} split of an operator with several inputs")
    return make_operator(
        operator.name,
        operator.kind,
        dims,
        formats,
        producer if len(operator.inputs) == 1 else rank_inputs(operator, dims),
        shard=operator.shard,
        fused=operator.fused,
        group_rows=operator.group_rows,
        sparsity=Sparsity(operator.sparsity, operator.density),
    )


def _rank_dims(operator: Operator, model: ModelConfig, tp: int) -> Mapping[str, int]:
    dims, share = operator.dims, share_of(model, tp)
    if operator.shard == "replicate":
        return dims
    if operator.shard == "heads":
        _check_against(operator, "heads", model.num_attention_heads)
        _check_against(operator, "kv_heads", model.num_key_value_heads)
        return {**dims, "heads": share.heads, "kv_heads": share.kv_heads}
    if operator.shard == "vocab":
        return _vocab_dims(operator, tp)
    if "k_proj" in operator.fused:
        _check_against(operator, "N", (model.num_attention_heads + 2 * model.num_key_value_heads) * model.head_dim)
        return {**dims, "N": (share.heads + 2 * share.kv_heads) * model.head_dim}
    if "o_proj" in operator.fused:
        _check_against(operator, "K", model.num_attention_heads * model.head_dim)
        return {**dims, "K": share.heads * model.head_dim}
    widths = {"activation": "ffn", "convolution": "channels", "selective_scan": "channels"}
    key = widths.get(operator.kind) or ("K" if operator.shard in ("row", "experts_row") else "N")
    if dims[key] % model.ffn == 0:
        return {**dims, key: dims[key] // model.ffn * share.ffn}
    return {**dims, key: _divided(operator, key, tp)}


def _check_against(operator: Operator, key: str, expected: int) -> None:
    """Refuse an operator, as a file may hold one, whose heads are not those of the model in the trace's header."""
    if operator.dims[key] != expected:
        problem = f"expected {expected} as in the trace's model, got {operator.dims[key]}"
        raise TraceError("partition", f"{operator.name}.dims.{key}", problem)


def _vocab_dims(operator: Operator, tp: int) -> Mapping[str, int]:
    """Split the vocabulary, padded up to a multiple of the ranks."""
    if operator.kind == "embedding":
        return {**operator.dims, "vocab": -(-operator.dims["vocab"] // tp), "ranks": tp}
    return {**operator.dims, "N": -(-operator.dims["N"] // tp)}


def _collective(part: Operator, tp: int) -> Operator | None:
    """Return the collective that completes the output of a rank's part, None where it is complete."""
    if part.kind == "gemm" and part.shard == "vocab":
        kind, elements = "all_gather", part.dims["M"] * part.dims["N"] * tp
    elif part.kind in ("embedding", "moe_combine"):
        kind, elements = "all_reduce", part.dims["tokens"] * part.dims["hidden"]
    elif part.shard == "row":
        kind, elements = "all_reduce", part.dims["M"] * part.dims["N"]
    else:
        return None
    formats = Formats(part.output_dtype, None, part.output_dtype)
    dims = {"elements": elements, "group": tp}
    return make_operator(f"{part.name}_{kind}", kind, dims, formats, part.name, fused=(kind,))


def _redirect(operator: Operator, completed: tuple[str | None, ...]) -> Operator:
    """Return the operator reading completed outputs where it read partial ones."""
    if not any(completed):
        return operator
    pairs = zip(operator.inputs.items(), completed, strict=True)
    inputs = {collective or producer: n_bytes for (producer, n_bytes), collective in pairs}
    return replace(operator, inputs=inputs)


def _divided(operator: Operator, key: str, tp: int) -> int:
    whole = operator.dims[key]
    if whole % tp:
        raise TraceError("partition", "tensor_parallel", f"{tp} does not divide {key} {whole} of {operator.name!r}")
    return whole // tp
