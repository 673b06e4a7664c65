"""Run a model on a system."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dieshot.simulator.params import find_path
from dieshot.simulator.studies.execute import execute
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import degrees, micro_batches_of
from dieshot.simulator.studies.trace import KV_PRECISION, PRECISION, trace
from dieshot.traces import load_model_config


def run(
    system: str,
    model: str,
    *,
    batch: int = 1,
    prompt: int = 1024,
    generate: int = 128,
    precision: str | None = None,
    kv_precision: str | None = None,
    tensor_parallel: int | None = None,
    pipeline_parallel: int | None = None,
    micro_batches: int | None = None,
    sets: Sequence[str] = (),
    seed: int = 0,
    routing: str = "balanced",
    sparsity: str = "dense",
    density: float | None = None,
    prefill_chunk: int | None = None,
    cached: int = 0,
    output: Path | str | None = None,
    compression: str = "gzip",
    processes: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Simulate `batch` requests of `prompt` tokens in and `generate` out; write the log to `output` if given.

    system, model: names of the catalog or paths of a system document and a config.json. precision, kv_precision,
    tensor_parallel, pipeline_parallel, micro_batches, prefill_chunk: the system's own where None; as many micro-batches
    of equal size, and chunks of a prompt, follow each other through the stages. cached: tokens of each request before
    its prompt that are in the cache already. sets: overrides such as "chip.hbm.pin_rate=*1.2". processes: how many
    simulate; the result is the same for any number (a script that asks for several needs the usual
    `if __name__ == "__main__":`, as workers import it).
    Raises InputError (or TraceError) on bad input, UnsupportedError never: it becomes InputError.
    """
    started = time.perf_counter()
    setup = set_up(system, sets)
    config = load_model_config(find_path("models", model))
    wanted = degrees(setup, config, tensor_parallel, pipeline_parallel)
    n_parts = micro_batches_of(setup, wanted, batch, micro_batches)
    defaults = setup.system.values
    operators = trace(
        model,
        batch=batch // n_parts,
        prompt=prompt,
        generate=generate,
        precision=precision or defaults.precision or PRECISION,
        kv_precision=kv_precision or defaults.kv_precision or KV_PRECISION,
        seed=seed,
        routing=routing,
        sparsity=sparsity,
        density=density,
        prefill_chunk=_shorter(prefill_chunk or (None if config.encoder else defaults.prefill_chunk), prompt),
        cached=cached,
    )
    return execute(
        setup,
        operators,
        wanted=wanted,
        micro_batches=n_parts,
        output=output,
        compression=compression,
        processes=processes,
        progress=progress,
        started=started,
    )


def _shorter(chunk: int | None, prompt: int) -> int | None:
    """Return the tokens of a prompt's step; None for all of it."""
    return chunk if chunk is not None and chunk < prompt else None
