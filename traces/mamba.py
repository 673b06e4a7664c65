"""The block of a Mamba model (Gu and Dao, arXiv:2312.00752): a causal convolution and a selective scan over a state.

In place of keys and values of every token, a sequence has a state of fixed size: the last inputs of the convolution,
and `state_size` numbers a channel. Both are read, where tokens came before, and written in every step. The projections
inside the block stay in the carrier format, as the scan does; those at its ends are GEMMs of a layer like any other.
"""

from collections.abc import Mapping

from dieshot.traces.dtype import bytes_of
from dieshot.traces.forward import ForwardPass
from dieshot.traces.layer import activation, add_norm, gemm
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, Operator
from dieshot.traces.work import Formats


def mamba_layer(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the operators of one layer."""
    model = step.model
    inner, rank, bias = model.intermediate_size, model.time_step_rank, int(model.mlp_bias)
    in_fused = ("in_proj", "bias") if bias else ("in_proj",)
    return (
        add_norm(step, "input_norm", PREVIOUS, step.precision.block),
        gemm(step, "in_proj", 2 * inner, model.hidden_size, bias, "input_norm", "column", in_fused),
        _convolution(step),
        _inner_gemm(step, "x_proj", rank + 2 * model.state_size, inner, 0, "convolution", "row"),
        _inner_gemm(step, "dt_proj", inner, rank, 1, "x_proj", "column"),
        _scan(step),
        _gate(step),
        gemm(step, "out_proj", model.hidden_size, inner, bias, "gate", "row"),
    )


def rank_inputs(operator: Operator, dims: Mapping[str, int]) -> dict[str, int]:
    """Return what a rank with its share of the channels, as `dims` have it, reads of each producer of an operator.

    All is divided as the channels are, but what a scan takes of the projection to its state's inputs and outputs.
    """
    if operator.kind == "activation":
        return dict.fromkeys(operator.inputs, bytes_of(dims["tokens"] * dims["ffn"], operator.dtype))
    each = bytes_of(dims["batch"] * dims["q_len"] * dims["channels"], operator.dtype)
    return {name: n_bytes if name == "x_proj" else each for name, n_bytes in operator.inputs.items()}


def _state_dims(step: ForwardPass) -> dict[str, int]:
    return {
        "batch": step.batch,
        "q_len": step.q_len,
        "channels": step.model.intermediate_size,
        "carried": int(step.kv_len > step.q_len),
    }


def _state_formats(step: ForwardPass) -> Formats:
    carrier = step.precision.carrier
    return Formats(carrier, carrier, carrier, step.kv_dtype)


def _convolution(step: ForwardPass) -> Operator:
    dims = _state_dims(step) | {"kernel": step.model.conv_kernel, "bias": int(step.model.conv_bias)}
    formats = _state_formats(step)
    return make_operator(
        "convolution", "convolution", dims, formats, "in_proj", shard="column", fused=("conv1d", "silu")
    )


def _inner_gemm(step: ForwardPass, name: str, N: int, K: int, bias: int, producer: str, shard: str) -> Operator:
    dims = {"M": step.tokens, "N": N, "K": K, "bias": bias}
    fused = (name, "bias") if bias else (name,)
    return make_operator(name, "gemm", dims, step.carrier, producer, shard=shard, fused=fused, sparsity=step.sparsity)


def _scan(step: ForwardPass) -> Operator:
    model, carrier = step.model, step.precision.carrier
    each = bytes_of(step.tokens * model.intermediate_size, carrier)
    inputs = {
        "convolution": each,
        "dt_proj": each,
        "x_proj": bytes_of(2 * step.tokens * model.state_size, carrier),
    }
    dims = _state_dims(step) | {"state": model.state_size}
    fused = ("softplus", "discretise", "scan", "skip")
    return make_operator(
        "selective_scan", "selective_scan", dims, _state_formats(step), inputs, shard="column", fused=fused
    )


def _gate(step: ForwardPass) -> Operator:
    model = step.model
    each = bytes_of(step.tokens * model.intermediate_size, step.precision.carrier)
    inputs = {"in_proj": each, "selective_scan": each}
    return activation(step, "gate", step.tokens, model.intermediate_size, True, inputs)
