"""`dieshot sensitivity SYSTEM MODEL`."""

from collections.abc import Iterator, Mapping
from typing import Any

from dieshot.simulator.cli import option, quantity
from dieshot.simulator.cli.output import print_json, reserved_stdout
from dieshot.simulator.cli.progress import ProgressBar


def sensitivity(
    system: option.System,
    model: option.Model,
    batch: option.Batch = 1,
    prompt: option.Prompt = 1024,
    generate: option.Generate = 16,
    precision: option.SystemPrecision = None,
    kv_precision: option.SystemKvPrecision = None,
    tensor_parallel: option.TensorParallel = None,
    pipeline_parallel: option.PipelineParallel = None,
    micro_batches: option.MicroBatches = None,
    prefill_chunk: option.PrefillChunk = None,
    cached: option.Cached = 0,
    sets: option.Sets = None,
    processes: option.Processes = 1,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Run MODEL on SYSTEM with every assumed parameter at both ends of its range; print how far the answer moves."""
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies.sensitivity import sensitivity as study

        found = study(
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
            prefill_chunk=prefill_chunk,
            cached=cached,
            sets=tuple(sets or ()),
            processes=processes,
            progress=progress,
        )
    if as_json:
        print_json(found)
    elif not quiet:
        from dieshot.simulator.cli.table import console

        console().print(f"{found['model']} on {found['system']}", markup=False)
        print_moves(found)


def print_moves(found: Mapping[str, Any]) -> None:
    """Print a run's own figures, and how far each assumed parameter moves them over its range."""
    from dieshot.simulator.cli.table import columns, console, grid

    out = console()
    own = found["figures"]
    out.print(grid((quantity.label(key), quantity.text(key, value)) for key, value in own.items()))
    time = "time_per_output_token_s" if own["time_per_output_token_s"] else "time_to_first_token_s"
    headings = {"assumed parameter": "left", "value": "right", "range": "right", "time": "right", "energy": "right"}
    rows = (_row(each, own, (time, "energy_per_token_j")) for each in found["parameters"])
    out.print(columns(f"{quantity.label(time)} and energy at the ends of each range", headings, rows))


def _row(parameter: Mapping[str, Any], own: Mapping[str, float], figures: tuple[str, str]) -> Iterator[str]:
    unit = parameter["unit"]
    yield parameter["path"]
    yield quantity.in_unit(parameter["value"], unit)
    yield " to ".join(quantity.in_unit(end, unit) for end in parameter["range"])
    ends = [parameter["low"], parameter["high"]]
    for figure in figures:
        moves = ("impossible" if at is None else f"{at[figure] / own[figure] - 1:+.1%}" for at in ends)
        yield " to ".join(moves)
