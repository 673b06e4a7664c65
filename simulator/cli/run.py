"""`dieshot run SYSTEM MODEL`."""

from functools import partial

from dieshot.simulator.cli import option
from dieshot.simulator.cli.critical_path import path_of, path_record, print_path
from dieshot.simulator.cli.output import destination, reserved_stdout, short_name
from dieshot.simulator.cli.progress import ProgressBar


def run(
    system: option.System,
    model: option.Model,
    batch: option.Batch = 1,
    prompt: option.Prompt = 1024,
    generate: option.Generate = 128,
    precision: option.SystemPrecision = None,
    kv_precision: option.SystemKvPrecision = None,
    tensor_parallel: option.TensorParallel = None,
    pipeline_parallel: option.PipelineParallel = None,
    micro_batches: option.MicroBatches = None,
    sets: option.Sets = None,
    against: option.Against = None,
    critical_path: option.CriticalPath = False,
    if_faster: option.IfFaster = True,
    seed: option.Seed = 0,
    routing: option.Routing = "balanced",
    sparsity: option.Sparsity = "dense",
    density: option.Density = None,
    prefill_chunk: option.PrefillChunk = None,
    cached: option.Cached = 0,
    output: option.Output = None,
    no_log: option.NoLog = False,
    compression: option.CompressionOption = "gzip",
    processes: option.Processes = 1,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Simulate MODEL on SYSTEM; print the figures and write every cycle to a file (<model>_<system>.h5)."""
    target = destination(output, f"{short_name(model)}_{short_name(system)}.h5", no_log)
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies.run import run as simulate_run

        simulate = partial(
            simulate_run,
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
            seed=seed,
            routing=routing,
            sparsity=sparsity,
            density=density,
            prefill_chunk=prefill_chunk,
            cached=cached,
            compression=compression,
            processes=processes,
            progress=progress,
        )
        changes = tuple(sets or ())
        # first, so that what is wrong with it is told before a file is written
        other = simulate(sets=(*changes, *against), output=None) if against else None
        result = simulate(sets=changes, output=target)
        path = path_of(result, if_faster, processes, progress) if critical_path else None
    summary = dict(result.summary) | path_record(path)
    if other is None:
        from dieshot.simulator.cli.summary import answer

        answer(summary, target, as_json, quiet)
    else:
        from dieshot.simulator.cli.difference import answer_against

        answer_against(summary, other.summary, against or (), target, as_json, quiet)
    print_path(path, as_json, quiet)
