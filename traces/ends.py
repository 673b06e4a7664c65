"""What a step does before its first layer and after its last."""

from dieshot.traces import bert
from dieshot.traces.dtype import bytes_of
from dieshot.traces.forward import ForwardPass
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL, Operator
from dieshot.traces.work import Formats


def head(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the embedding of the new tokens; in BERT word, position and type rows are summed and normed."""
    model = step.model
    n_rows = model.vocab_size + model.learned_positions + model.token_types
    dims = {
        "tokens": step.tokens,
        "hidden": model.hidden_size,
        "vocab": n_rows,
        "tables": 3 if model.encoder else 1,
        "ranks": 1,
    }
    if model.scales_embedding:
        dims["scaled"] = 1
    fused = ("word", "position", "token_type") if model.encoder else ("word",)
    embedding = make_operator("embedding", "embedding", dims, step.table, PREVIOUS, shard="vocab", fused=fused)
    if model.encoder:
        return (embedding, bert.post_norm(step, "embedding_norm", "embedding", residual=False))
    return (embedding,)


def tail(step: ForwardPass) -> tuple[Operator, ...]:
    """Return the final norm on the last token of each sequence, the language-model head and the sampling.

    An encoder ends in its pooler, a decoder without a head in the norm.
    """
    if step.model.encoder:
        return bert.pooler(step)
    if step.model.headless:
        return (_final_norm(step),)
    return (_final_norm(step), _lm_head(step), _sample(step))


def _final_norm(step: ForwardPass) -> Operator:
    hidden = step.model.hidden_size
    dims = {"tokens": step.batch, "hidden": hidden, "residual": 1, "writes_residual": 0, "shift": 0}
    last_bytes = bytes_of(step.batch * hidden, step.precision.carrier)
    inputs = {PREVIOUS: last_bytes, RESIDUAL: last_bytes}
    return make_operator("final_norm", "norm", dims, step.carrier, inputs, fused=("add", "norm"))


def _lm_head(step: ForwardPass) -> Operator:
    dims = {"M": step.batch, "N": step.model.vocab_size, "K": step.model.hidden_size, "bias": 0}
    return make_operator("lm_head", "gemm", dims, step.table, "final_norm", shard="vocab", fused=("lm_head",))


def _sample(step: ForwardPass) -> Operator:
    dims = {"tokens": step.batch, "vocab": step.model.vocab_size}
    formats = Formats(step.precision.carrier, None, "int32")
    return make_operator("sample", "sample", dims, formats, "lm_head", fused=("softmax", "draw"))
