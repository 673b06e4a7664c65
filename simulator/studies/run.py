"""Run a model on a system."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dieshot.simulator.studies.execute import execute
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.plan import plan
from dieshot.simulator.studies.result import Run


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
    found = plan(
        system,
        model,
        batch=batch,
        prompt=prompt,
        generate=generate,
        precision=precision,
        kv_precision=kv_precision,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        micro_batches=micro_batches,
        sets=sets,
        seed=seed,
        routing=routing,
        sparsity=sparsity,
        density=density,
        prefill_chunk=prefill_chunk,
        cached=cached,
    )
    return execute(
        found.setup,
        found.trace,
        wanted=found.wanted,
        micro_batches=found.micro_batches,
        output=output,
        compression=compression,
        processes=processes,
        progress=progress,
        started=started,
    )
