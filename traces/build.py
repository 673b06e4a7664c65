"""Building the trace of one run: a prefill and the decode steps after it."""

from collections.abc import Iterator
from dataclasses import replace

from dieshot.traces import bert, ends, layer, mamba
from dieshot.traces.config import ModelConfig
from dieshot.traces.dtype import check_kv_precision, precision_named
from dieshot.traces.error import TraceError, show, unknown
from dieshot.traces.forward import ForwardPass
from dieshot.traces.moe import expert_feed_forward
from dieshot.traces.operator import Operator
from dieshot.traces.routing import LAWS, draw_routing
from dieshot.traces.sparsity import sparsity_of
from dieshot.traces.trace import HEAD, LAYERS, TAIL, Block, Step, Trace, n_prompt_steps, prompt_step

MAX_BATCH = 1 << 20
MAX_SEED = (1 << 63) - 1


def build_trace(
    model: ModelConfig,
    *,
    batch: int,
    prompt: int,
    generate: int,
    precision: str,
    kv_precision: str = "bf16",
    seed: int = 0,
    routing: str = "balanced",
    sparsity: str = "dense",
    density: float | None = None,
    chunk: int | None = None,
    cached: int = 0,
) -> Trace:
    """Return the trace of `batch` equal sequences: `prompt` tokens in, `generate` tokens out.

    The prefill yields the first token; generate - 1 decode steps of one token follow, the last token
    not being fed back. generate = 0 is the prefill alone, and the only choice for an encoder or a
    decoder without a head.
    Expert routing is drawn once per step and shared by the layers of that step. sparsity: pattern of the zeros in the
    weights of the layers' GEMMs (router and language-model head stay dense); density: share that is not zero, to be
    given for unstructured. chunk: the prompt is read so many tokens a step, None for all in one; only the last such
    step has a tail. cached: tokens of each sequence that come before the prompt and are in the cache already.
    Raises TraceError on a bad argument, or when cached + prompt + generate is longer than the model's positions.
    """
    check_arguments(model, batch, prompt, generate, seed, routing, "build_trace", cached)
    check_chunk(model, prompt, chunk, "build_trace")
    formats, kv_dtype = precision_named(precision), check_kv_precision(kv_precision)
    zeros = sparsity_of(sparsity, density, "build_trace")
    prefill = ForwardPass(model, formats, kv_dtype, batch, q_len=prompt, kv_len=cached + prompt, sparsity=zeros)
    steps = list(_prefill_steps(prefill, chunk, seed, routing))
    steps += _decode_steps(prefill, len(steps), generate - 1, seed, routing)
    return Trace(
        model=model,
        precision=precision,
        kv_precision=kv_precision,
        batch=batch,
        prompt=prompt,
        generate=generate,
        seed=seed,
        routing=routing,
        steps=tuple(steps),
        sparsity=zeros.pattern,
        density=zeros.density,
        chunk=chunk,
        cached=cached,
    )


def _prefill_steps(prefill: ForwardPass, chunk: int | None, seed: int, routing: str) -> Iterator[Step]:
    """Yield the steps over the prompt: what a chunk has attended to is in the cache."""
    prompt = prefill.q_len
    n_steps = n_prompt_steps(prompt, chunk)
    for index in range(n_steps):
        tokens, read = prompt_step(prompt, chunk, index)
        kv_len = prefill.kv_len - prompt + read
        step = replace(prefill, q_len=tokens, kv_len=kv_len)
        blocks = _blocks(step, _routing(step, seed, index, routing))
        yield Step(index, "prefill", prefill.batch, tokens, kv_len, blocks if index == n_steps - 1 else blocks[:-1])


def _blocks(step: ForwardPass, rows: tuple[int, ...]) -> tuple[Block, ...]:
    if step.model.encoder:
        operators = bert.encoder_layer(step)
    elif step.model.recurrent:
        operators = mamba.mamba_layer(step)
    else:
        attention = (layer.attention(step),)
        operators = layer.before_attention(step) + attention + layer.after_attention(step) + _feed_forward(step, rows)
    return (
        Block(HEAD, 1, ends.head(step)),
        Block(LAYERS, step.model.num_hidden_layers, operators),
        Block(TAIL, 1, ends.tail(step)),
    )


def _decode_steps(prefill: ForwardPass, first_index: int, n_steps: int, seed: int, routing: str) -> Iterator[Step]:
    """Yield the decode steps; only attention and, if its routing differs, the feed-forward are made anew."""
    if n_steps < 1:
        return
    model, batch = prefill.model, prefill.batch
    first = _decode_pass(prefill, 1)
    head, tail = Block(HEAD, 1, ends.head(first)), Block(TAIL, 1, ends.tail(first))
    if model.recurrent:  # nothing in a step depends on how many were before
        same = (head, Block(LAYERS, model.num_hidden_layers, mamba.mamba_layer(first)), tail)
        for n_more in range(1, n_steps + 1):
            yield Step(first_index + n_more - 1, "decode", batch, 1, prefill.kv_len + n_more, same)
        return
    before, after = layer.before_attention(first), layer.after_attention(first)
    feed_forward: dict[tuple[int, ...], tuple[Operator, ...]] = {}
    for n_more in range(1, n_steps + 1):
        step, index = _decode_pass(prefill, n_more), first_index + n_more - 1
        rows = _routing(step, seed, index, routing)
        if rows not in feed_forward:
            feed_forward = {rows: _feed_forward(step, rows)}
        operators = (*before, layer.attention(step), *after, *feed_forward[rows])
        blocks = (head, Block(LAYERS, model.num_hidden_layers, operators), tail)
        yield Step(index, "decode", batch, 1, step.kv_len, blocks)


def _decode_pass(prefill: ForwardPass, n_more: int) -> ForwardPass:
    return replace(prefill, q_len=1, kv_len=prefill.kv_len + n_more)


def _feed_forward(step: ForwardPass, rows: tuple[int, ...]) -> tuple[Operator, ...]:
    return expert_feed_forward(step, rows) if step.model.sparse else layer.feed_forward(step)


def _routing(step: ForwardPass, seed: int, index: int, law: str) -> tuple[int, ...]:
    model = step.model
    if not model.sparse:
        return ()
    return draw_routing(step.tokens, model.num_experts, model.num_experts_per_tok, (seed, index), law)


def check_arguments(
    model: ModelConfig, batch: int, prompt: int, generate: int, seed: int, routing: str, where: str, cached: int = 0
) -> None:
    """Raise TraceError, naming `where`, on arguments that no trace of this model can have."""
    longest = model.max_position_embeddings
    for key, value, low, high in (
        ("batch", batch, 1, MAX_BATCH),
        ("prompt", prompt, 1, longest),
        ("generate", generate, 0, longest),
        ("cached", cached, 0, 0 if model.encoder else longest),
        ("seed", seed, 0, MAX_SEED),
    ):
        if type(value) is not int or not low <= value <= high:
            raise TraceError(where, key, f"expected an integer from {low} to {high}, got {show(value)}")
    if routing not in LAWS:
        raise unknown(where, "routing", routing, LAWS)
    if generate and not model.generates:
        what = "an encoder" if model.encoder else "which has no language-model head"
        raise TraceError(where, "generate", f"expected 0 for {model.name}, {what}, got {generate}")
    if cached + prompt + generate > longest:
        before = f"{cached} cached + " if cached else ""
        tokens = f"{before}{prompt} + {generate} tokens"
        problem = f"{tokens}, expected at most the {longest} positions of {model.name}"
        raise TraceError(where, "prompt + generate", problem)


def check_chunk(model: ModelConfig, prompt: int, chunk: int | None, where: str) -> None:
    """Raise TraceError, naming `where`, on a chunk that a prompt of this model cannot be read in."""
    if chunk is None:
        return
    if type(chunk) is not int or not 1 <= chunk <= prompt:
        raise TraceError(where, "chunk", f"expected an integer from 1 to the prompt's {prompt}, got {show(chunk)}")
    if model.encoder and chunk < prompt:
        raise TraceError(where, "chunk", f"expected none for {model.name}, an encoder attends to all at once")
