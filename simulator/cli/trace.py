"""`dieshot trace MODEL`."""

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import destination, print_json, reserved_stdout, short_name


def trace(
    model: option.Model,
    batch: option.Batch = 1,
    prompt: option.Prompt = 1024,
    generate: option.Generate = 128,
    precision: option.Precision = "fp8",
    kv_precision: option.KvPrecision = "bf16",
    seed: option.Seed = 0,
    routing: option.Routing = "balanced",
    sparsity: option.Sparsity = "dense",
    density: option.Density = None,
    prefill_chunk: option.PrefillChunk = None,
    cached: option.Cached = 0,
    output: option.Output = None,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Write the operator trace of MODEL (<model>.trace): one operator a line, for any system to replay."""
    target = destination(output, f"{short_name(model)}.trace")
    with reserved_stdout():
        from dieshot.simulator.studies.trace import trace as write

        result = write(
            model,
            batch=batch,
            prompt=prompt,
            generate=generate,
            precision=precision,
            kv_precision=kv_precision,
            seed=seed,
            routing=routing,
            sparsity=sparsity,
            density=density,
            prefill_chunk=prefill_chunk,
            cached=cached,
            output=target,
        )
    record = {"file": str(target), "steps": len(result.steps), "digest": result.digest()}
    if as_json:
        print_json({**record, "totals": result.totals})
    elif not quiet:
        from dieshot.simulator.cli.table import print_record

        print_record({**record, **result.totals})
