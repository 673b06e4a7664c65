"""Write the operator trace of a model."""

from __future__ import annotations

from pathlib import Path

from dieshot.simulator.params import find_path
from dieshot.traces import Trace, build_trace, load_model_config, write_trace

PRECISION = "fp8"
KV_PRECISION = "bf16"


def trace(
    model: str,
    *,
    batch: int = 1,
    prompt: int = 1024,
    generate: int = 128,
    precision: str = PRECISION,
    kv_precision: str = KV_PRECISION,
    seed: int = 0,
    routing: str = "balanced",
    sparsity: str = "dense",
    density: float | None = None,
    prefill_chunk: int | None = None,
    cached: int = 0,
    output: Path | str | None = None,
) -> Trace:
    """Return the trace of `batch` requests of `prompt` tokens in and `generate` out; write it to `output` if given.

    model: a name of the catalog or the path of a config.json. prefill_chunk: the prompt is read so many tokens a step,
    None for all in one. cached: tokens of each request that are in the cache before its prompt.
    Raises InputError or TraceError on bad input.
    """
    built = build_trace(
        load_model_config(find_path("models", model)),
        batch=batch,
        prompt=prompt,
        generate=generate,
        precision=precision,
        kv_precision=kv_precision,
        seed=seed,
        routing=routing,
        sparsity=sparsity,
        density=density,
        chunk=prefill_chunk,
        cached=cached,
    )
    if output is not None:
        write_trace(built, output)
    return built
