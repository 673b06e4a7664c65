"""Where a result comes from: inputs as texts and versions; and, apart, what differs between two runs of the same."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import time
from datetime import UTC, datetime
from typing import Any

from dieshot.simulator.studies.setup import SystemSetup
from dieshot.simulator.studies.split import Split
from dieshot.traces import trace_text

LIBRARIES = ("numpy", "numba", "simpy", "h5py", "networkx")
TRACE_OPTIONS = ("batch", "prompt", "generate", "precision", "kv_precision", "seed", "routing", "sparsity", "density")
SHORT_OPTIONS = {"tensor_parallel": "tp", "pipeline_parallel": "pp"}
KIB = 1024


def provenance(over: Split) -> dict[str, Any]:
    """Return the texts from which the run can be repeated: documents, trace, options, versions, command.

    The options are those that the run had after all, however it was asked for: a run and its replay have the same.
    """
    setup, parts = over.setup, over.parts
    trace = parts.trace
    options: dict[str, Any] = {"system": setup.name, "model": trace.model.name}
    options |= {name: getattr(trace, name) for name in TRACE_OPTIONS} | {"batch": over.batch}
    options |= {"tensor_parallel": parts.tensor_parallel, "pipeline_parallel": parts.pipeline_parallel}
    options |= {"micro_batches": over.micro_batches, "data_parallel": over.data_parallel}
    if trace.chunk is not None:
        options["prefill_chunk"] = trace.chunk
    if trace.cached:
        options["cached"] = trace.cached
    versions = {name: importlib.metadata.version(name) for name in ("dieshot", *LIBRARIES)}
    return {
        **setup.documents,
        "trace": trace_text(trace),
        "trace_digest": trace.digest(),
        "seed": trace.seed,
        "versions": versions,
        "options": options,
        "command": _command(setup, options),
    }


def _command(setup: SystemSetup, options: dict[str, Any]) -> list[str]:
    """Return the command line that asks for this run in full."""
    words = ["dieshot", "run", str(options["system"]), str(options["model"])]
    for name, value in options.items():
        if name not in ("system", "model", "data_parallel"):  # how many replicas there are follows from the batch
            words += [f"--{SHORT_OPTIONS.get(name, name).replace('_', '-')}", str(value)]
    links = setup.fabric_parameters
    if links is not None and links.parameters.plains.get("replaces") is not None:
        words += ["--set", f"fabric={setup.system.parameters.plains['fabric']}"]
    for prefix, resolved in setup.resolved.items():
        for record in resolved.records:
            if record.overridden:
                words += ["--set", f"{prefix}.{record.path}={record.written.replace(' ', '')}"]
    return words


def wall_clock(started: float) -> dict[str, float | int | str]:
    """Return what depends on the machine and the moment; `started` is a reading of time.perf_counter."""
    return {
        "wall_s": time.perf_counter() - started,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
