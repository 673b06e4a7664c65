"""BERT: a post-norm encoder without rotary embedding, KV cache or generation.

The biases are in the GEMM epilogues, and the split of the qkv projection is part of the attention kernel. A norm's
output is the residual stream as well: written once in the carrier format, and a second time where GEMMs read a
narrower one.
"""

from dieshot.traces.forward import ForwardPass
from dieshot.traces.layer import activation, attention, gemm, o_proj, qkv_proj
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator
from dieshot.traces.work import Formats


def encoder_layer(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the operators of one encoder layer."""
    hidden, ffn = step.model.hidden_size, step.model.intermediate_size
    return (
        qkv_proj(step, PREVIOUS),
        attention(step),
        o_proj(step),
        post_norm(step, "attention_norm", "o_proj", residual=True),
        gemm(step, "up_proj", ffn, hidden, 1, "attention_norm", "column"),
        activation(step, "act", step.tokens, ffn, False, "up_proj"),
        gemm(step, "down_proj", hidden, ffn, 1, "act", "row"),
        post_norm(step, "output_norm", "down_proj", residual=True),
    )


def post_norm(step: ForwardPass, name: str, producer: str, residual: bool) -> Operator:
    """Return a LayerNorm of the producer's output, plus the residual stream if `residual`."""
    dims = {
        "tokens": step.tokens,
        "hidden": step.model.hidden_size,
        "residual": int(residual),
        "writes_residual": int(step.precision.quantised),
        "shift": 1,
    }
    formats = Formats(step.precision.carrier, step.precision.carrier, step.precision.block)
    inputs = {producer: step.hidden_bytes}
    if residual:
        inputs[RESIDUAL] = step.hidden_bytes
    fused = step.fused("add", "norm") if residual else step.fused("norm")
    return make_operator(name, "norm", dims, formats, inputs, fused=fused)


def pooler(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the step's tail: a dense layer and tanh on the first token of each sequence, in the carrier format."""
    hidden = step.model.hidden_size
    source = RESIDUAL if step.precision.quantised else PREVIOUS
    weightless = Formats(step.precision.carrier, None, step.precision.carrier)
    dims = {"M": step.batch, "N": hidden, "K": hidden, "bias": 1}
    tanh = {"tokens": step.batch, "ffn": hidden, "gated": 0}
    return (
        make_operator("pooler", "gemm", dims, step.carrier, source, fused=("pooler", "bias")),
        make_operator("pooler_act", "activation", tanh, weightless, "pooler", fused=("tanh",)),
    )
