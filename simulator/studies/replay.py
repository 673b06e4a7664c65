"""Run again what a trace or a result file holds: the same, or with something changed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dieshot.simulator.errors import InputError
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.studies import compare
from dieshot.simulator.studies.compare import Against
from dieshot.simulator.studies.execute import execute
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import SystemSetup, set_up, set_up_texts
from dieshot.simulator.studies.split import degrees, replicas_of
from dieshot.traces import Trace, parse_trace, read_trace

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
RUN_SUFFIXES = (".h5", ".part")
DOCUMENTS = ("system", "chip")
OPTIONAL_DOCUMENTS = ("fabric", "cost")
DEGREES = ("tensor_parallel", "pipeline_parallel")
PARTS, REPLICAS = "micro_batches", "data_parallel"


class _Inputs(NamedTuple):
    setup: SystemSetup
    trace: Trace
    tensor_parallel: int | None
    pipeline_parallel: int | None
    micro_batches: int
    data_parallel: int


def replay(
    source: Path | str,
    system: str | None = None,
    *,
    sets: Sequence[str] = (),
    tensor_parallel: int | None = None,
    pipeline_parallel: int | None = None,
    micro_batches: int | None = None,
    against: Against | Path | str | None = None,
    output: Path | str | None = None,
    compression: str = "gzip",
    processes: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Simulate the inputs of a result file, or a trace file on `system`, again.

    A result file brings trace, parameters and partition; unchanged, the result is the same to the last byte but for the
    wall clock. `system` replaces its parameters and partition; sets and degrees of parallelism change what is there.
    micro_batches: how many batches as the trace has follow each other through the stages (a trace file: one). against:
    a finished run's file; the difference from it is written to `output` (`open_run(...).difference`).
    Raises InputError (or TraceError) on bad input.
    """
    started = time.perf_counter()
    path = Path(source)
    read = _from_run if _is_run(path) else _from_trace
    other = compare.against(Path(against)) if isinstance(against, str | Path) else against
    inputs = read(path, system, sets)
    stages = pipeline_parallel or inputs.pipeline_parallel
    ways = tensor_parallel or inputs.tensor_parallel
    return _execute(
        inputs,
        ways,
        stages,
        micro_batches or inputs.micro_batches,
        output=output,
        compression=compression,
        processes=processes,
        progress=progress,
        started=started,
        against=other,
    )


def _execute(
    inputs: _Inputs,
    ways: int | None,
    stages: int | None,
    micro_batches: int,
    output: Path | str | None = None,
    compression: str = "gzip",
    processes: int = 1,
    progress: Progress | None = None,
    started: float | None = None,
    against: Against | None = None,
) -> Run:
    return execute(
        inputs.setup,
        inputs.trace,
        wanted=degrees(inputs.setup, inputs.trace.model, ways, stages)._replace(data_parallel=inputs.data_parallel),
        micro_batches=micro_batches,
        output=output,
        compression=compression,
        processes=processes,
        progress=progress,
        started=time.perf_counter() if started is None else started,
        against=against,
    )


def other_run(source: Path | str, against: Path | str | None, changes: bool) -> Against | None:
    """Return the run that a replay is compared with: `against`, or else, where anything changes, the file's own.

    None where there is none: nothing changes, a trace is replayed, or the file's run did not come to its end.
    """
    path = Path(source)
    if against is not None:
        return compare.against(Path(against))
    if not changes or not _is_run(path):
        return None
    try:
        return compare.against(path)
    except InputError:  # nothing there to compare with, which nobody asked for; what is damaged is told by the replay
        return None


def _is_run(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE or path.suffix in RUN_SUFFIXES
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=str(path)) from None


def _from_trace(path: Path, system: str | None, sets: Sequence[str]) -> _Inputs:
    if system is None:
        raise InputError("a trace names no system", file=str(path), key="SYSTEM", expected="a system's name or file")
    return _Inputs(set_up(system, sets), read_trace(path), None, None, 1, 1)


def _from_run(path: Path, system: str | None, sets: Sequence[str]) -> _Inputs:
    with open_run(path) as file:
        recorded = file.provenance
    return _from_recorded(recorded, path, system, sets)


def _from_recorded(recorded: Mapping[str, str], path: Path | str, system: str | None, sets: Sequence[str]) -> _Inputs:
    trace = parse_trace(_recorded(recorded, "trace", path), f"{path}:trace")
    options = _options(recorded, path)
    n_parts = options[PARTS] * options[REPLICAS]
    if system is not None:
        setup = set_up(system, sets)
        replicas = replicas_of(setup, n_parts)
        return _Inputs(setup, trace, None, None, n_parts // replicas, replicas)
    setup = _setup(recorded, path, sets)
    replicas = replicas_of(setup, n_parts)
    ways, stages = (options[name] for name in DEGREES)
    return _Inputs(setup, trace, ways, stages, n_parts // replicas, replicas)


def _setup(recorded: Mapping[str, str], path: Path | str, sets: Sequence[str]) -> SystemSetup:
    texts = {name: _recorded(recorded, name, path) for name in DOCUMENTS}
    texts |= {name: recorded[name] for name in OPTIONAL_DOCUMENTS if name in recorded}
    return set_up_texts(texts, str(path), sets)


def recorded_setup(recorded: Mapping[str, str], path: Path | str) -> tuple[SystemSetup, dict[str, int]]:
    """Return the system that a run's provenance tells, and its degrees, micro-batches and replicas by name."""
    return _setup(recorded, path, ()), _options(recorded, path)


def rerun(recorded: Mapping[str, str], path: Path | str, sets: Sequence[str]) -> Run:
    """Simulate what a run's provenance tells, with overrides; `path` is what errors show. InputError as `replay`."""
    inputs = _from_recorded(recorded, path, None, sets)
    return _execute(inputs, inputs.tensor_parallel, inputs.pipeline_parallel, inputs.micro_batches)


def _recorded(recorded: Mapping[str, str], name: str, path: Path | str) -> str:
    if name not in recorded:
        raise InputError("not recorded", file=str(path), key=f"provenance/{name}", expected="a file that a run wrote")
    return recorded[name]


def _options(recorded: Mapping[str, str], path: Path | str) -> dict[str, int]:
    """Return the degrees of parallelism that the run had, its micro-batches and replicas (one, if it does not tell)."""
    key = "provenance/options"
    try:
        options = json.loads(_recorded(recorded, "options", path))
    except (ValueError, RecursionError):
        raise InputError("no JSON", file=str(path), key=key, expected="a JSON object") from None
    found: dict[str, Any] = {PARTS: 1, REPLICAS: 1} | (options if isinstance(options, dict) else {})
    for name in (*DEGREES, PARTS, REPLICAS):
        value = found.get(name)
        if type(value) is not int or value < 1:
            raise InputError(f"bad {name}", file=str(path), key=key, value=value, expected="an integer of at least 1")
    return {name: found[name] for name in (*DEGREES, PARTS, REPLICAS)}
