"""What a run has where its request leaves an option open: the system's own, the model's, or what follows from both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.studies.setup import SystemSetup, set_up
from dieshot.simulator.studies.split import Degrees, degrees, micro_batches_of, replicas_of
from dieshot.simulator.studies.trace import KV_PRECISION, PRECISION
from dieshot.traces import ModelConfig, TraceError
from dieshot.traces.sparsity import sparsity_of


class Defaults:
    """Fills options in as `studies.plan.plan` does; a system that cannot be set up leaves them open."""

    def __init__(self, system: str, model: ModelConfig, sets: Sequence[str]) -> None:
        self._model = model
        self._setup: SystemSetup | None = None
        self._degrees: dict[tuple[int | None, int | None], Degrees] = {}
        try:
            self._setup = set_up(system, sets)
        except InputError:
            return
        values = self._setup.system.values
        self._precision = values.precision or PRECISION
        self._kv_precision = values.kv_precision or KV_PRECISION
        self._chunk = None if model.encoder else values.prefill_chunk

    def filled(self, request: PointRequest) -> tuple[Any, ...]:
        """Return all options of a request but system, model and overrides, in one order, none left open."""
        precision, kv_precision = request.precision, request.kv_precision
        tensor, pipeline = request.tensor_parallel, request.pipeline_parallel
        parts, chunk = request.micro_batches, request.prefill_chunk
        if self._setup is not None:
            precision, kv_precision = precision or self._precision, kv_precision or self._kv_precision
            chunk = chunk or self._chunk
            wanted = self._wanted(tensor, pipeline)
            tensor, pipeline, parts = *wanted[:2], self._parts(wanted, request.batch, parts)
        return (
            request.batch,
            request.prompt,
            request.generate,
            request.cached,
            precision,
            kv_precision,
            tensor,
            pipeline,
            None if chunk is None or chunk >= request.prompt else chunk,
            parts,
            request.seed,
            request.routing,
            request.sparsity,
            _density(request.sparsity, request.density),
        )

    def _wanted(self, tensor: int | None, pipeline: int | None) -> Degrees:
        found = self._degrees.get((tensor, pipeline))
        if found is None:
            assert self._setup is not None
            found = self._degrees[tensor, pipeline] = degrees(self._setup, self._model, tensor, pipeline)
        return found

    def _parts(self, wanted: Degrees, batch: int, parts: int | None) -> int | None:
        assert self._setup is not None
        try:
            return micro_batches_of(self._setup, wanted, batch // replicas_of(self._setup, batch), parts)
        except InputError:  # the run will be refused
            return parts


def _density(pattern: str, density: float | None) -> float | None:
    if pattern == "dense" and density is None:
        return 1.0
    try:
        return sparsity_of(pattern, density, "").density
    except TraceError:  # the run will be refused
        return density
