"""Run a model on a system."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dieshot.simulator.studies.execute import Progress, execute
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.trace import trace


def run(
    system: str,
    model: str,
    *,
    batch: int = 1,
    prompt: int = 1024,
    generate: int = 128,
    precision: str = "fp8",
    kv_precision: str = "bf16",
    tensor_parallel: int | None = None,
    pipeline_parallel: int | None = None,
    sets: Sequence[str] = (),
    seed: int = 0,
    routing: str = "balanced",
    output: Path | str | None = None,
    compression: str = "gzip",
    processes: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Simulate `batch` requests of `prompt` tokens in and `generate` out; write the log to `output` if given.

    system, model: names of the catalog or paths of a system document and a config.json. sets: overrides such as
    "chip.hbm.pin_rate=*1.2". processes: how many simulate; the result is the same for any number
    (a script that asks for several needs the usual `if __name__ == "__main__":`, as workers import it).
    Raises InputError (or TraceError) on bad input, UnsupportedError never: it becomes InputError.
    """
    started = time.perf_counter()
    setup = set_up(system, sets)
    operators = trace(
        model,
        batch=batch,
        prompt=prompt,
        generate=generate,
        precision=precision,
        kv_precision=kv_precision,
        seed=seed,
        routing=routing,
    )
    return execute(
        setup,
        operators,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        output=output,
        compression=compression,
        processes=processes,
        progress=progress,
        started=started,
    )
