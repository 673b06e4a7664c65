"""What a run will carry out, from names: the system set up, the trace of a micro-batch, the degrees of parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dieshot.simulator.params import find_path
from dieshot.simulator.studies.refusing import refusing
from dieshot.simulator.studies.setup import SystemSetup, set_up
from dieshot.simulator.studies.split import Degrees, degrees, micro_batches_of, replicas_of, split
from dieshot.simulator.studies.trace import KV_PRECISION, PRECISION, trace
from dieshot.traces import Trace, load_model_config


class Plan(NamedTuple):
    """A system, the trace of one micro-batch, and how the model is to be split."""

    setup: SystemSetup
    trace: Trace
    wanted: Degrees
    micro_batches: int

    def check(self) -> None:
        """Raise the InputError of a run that the system refuses, without running it."""
        over = split(self.setup, self.trace, self.wanted, self.micro_batches)
        with refusing(over.setup.name):
            over.setup.chip.prepare([stage.steps for stage in over.parts.stages], 1, self.micro_batches)


def plan(
    system: str,
    model: str,
    *,
    batch: int,
    precision: str | None,
    kv_precision: str | None,
    tensor_parallel: int | None,
    pipeline_parallel: int | None,
    prefill_chunk: int | None,
    prompt: int,
    micro_batches: int | None = None,
    sets: Sequence[str] = (),
    **others: Any,
) -> Plan:
    """Return the plan of a run; see studies.run.run. InputError (or TraceError) on bad input."""
    setup = set_up(system, sets)
    config = load_model_config(find_path("models", model))
    replicas = replicas_of(setup, batch)
    wanted = degrees(setup, config, tensor_parallel, pipeline_parallel)._replace(data_parallel=replicas)
    n_parts = micro_batches_of(setup, wanted, batch // replicas, micro_batches)
    defaults = setup.system.values
    operators = trace(
        model,
        batch=batch // replicas // n_parts,
        prompt=prompt,
        precision=precision or defaults.precision or PRECISION,
        kv_precision=kv_precision or defaults.kv_precision or KV_PRECISION,
        prefill_chunk=_shorter(prefill_chunk or (None if config.encoder else defaults.prefill_chunk), prompt),
        **others,
    )
    return Plan(setup, operators, wanted, n_parts)


def _shorter(chunk: int | None, prompt: int) -> int | None:
    """Return the tokens of a prompt's step; None for all of it."""
    return chunk if chunk is not None and chunk < prompt else None
