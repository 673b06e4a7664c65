"""Run a model on a system."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.execute import execute
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import build_trace, load_model_config

Progress = Callable[[str, int, int], None]


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
    "chip.hbm.pin_rate=*1.2". Raises InputError (or TraceError) on bad input, UnsupportedError never: it becomes InputError.
    """
    started = time.perf_counter()
    setup = set_up(system, sets)
    config = load_model_config(find_path("models", model))
    trace = build_trace(
        config,
        batch=batch,
        prompt=prompt,
        generate=generate,
        precision=precision,
        kv_precision=kv_precision,
        seed=seed,
        routing=routing,
    )
    options: dict[str, Any] = {"system": system, "model": model, "sets": list(sets)}
    options |= {"tensor_parallel": tensor_parallel, "pipeline_parallel": pipeline_parallel}
    try:
        return execute(
            setup,
            trace,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
            output=Path(output) if output is not None else None,
            compression=compression,
            processes=processes,
            options=options,
            progress=progress,
            started=started,
        )
    except UnsupportedError as error:
        raise InputError(str(error), file=system) from None
