"""Write the operator trace of a model."""

from __future__ import annotations

from pathlib import Path

from dieshot.simulator.params import find_path
from dieshot.traces import Trace, build_trace, load_model_config, write_trace


def trace(
    model: str,
    *,
    batch: int = 1,
    prompt: int = 1024,
    generate: int = 128,
    precision: str = "fp8",
    kv_precision: str = "bf16",
    seed: int = 0,
    routing: str = "balanced",
    output: Path | str | None = None,
) -> Trace:
    """Return the trace of `batch` requests of `prompt` tokens in and `generate` out; write it to `output` if given.

    model: a name of the catalog or the path of a config.json. Raises InputError or TraceError on bad input.
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
    )
    if output is not None:
        write_trace(built, output)
    return built
