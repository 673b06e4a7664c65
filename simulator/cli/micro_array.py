"""`dieshot micro array RxC`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json

Shape = Annotated[str, typer.Argument(metavar="RxC", help="Rows and columns of PEs, such as 128x128.")]
Gemm = Annotated[str, typer.Option("--gemm", metavar="M,N,K", help="M x K activations times K x N weights.")]
Dataflow = Annotated[str, typer.Option("--dataflow", metavar="ws|os|is", help="What stays: weights, sums or inputs.")]
Overlap = Annotated[
    str,
    typer.Option("--overlap", metavar="none|folds", help="Whether a fold begins before the one before has drained."),
]
Density = Annotated[
    str, typer.Option("--density", metavar="1|N:M|SHARE", help="Weights kept: all, N of every M along K, or at random.")
]
Buffers = Annotated[int, typer.Option("--buffers", metavar="1|2", help="Operand buffers of a PE where folds overlap.")]
Switch = Annotated[int, typer.Option("--switch", metavar="N", help="Cycles to make another buffer or tile active.")]
Kind = Annotated[str, typer.Option("--kind", metavar="systolic|bit_serial|in_memory", help="How operands move.")]
Bits = Annotated[int, typer.Option("--bits", metavar="N", help="Bits of an operand that is fed bit by bit.")]
Tiles = Annotated[int, typer.Option("--tiles", metavar="N", help="Weight tiles that an in-memory array keeps.")]
Window = Annotated[
    str | None, typer.Option("--record", metavar="START:STOP", help="Add the PEs at work in each of these cycles.")
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="[Nx]NAME", help="Run cores with this memory too: a DRAM, or N channels of it."),
]
Mapping = Annotated[str, typer.Option("--mapping", metavar="MAP", help="Order of the fields of the DRAM's addresses.")]
Latency = Annotated[
    str, typer.Option("--latency", metavar="TIME", help="Network between core and DRAM, one way (fitted to ONNXim).")
]
Link = Annotated[str, typer.Option("--link", metavar="RATE", help="Link of a core to each channel (assumed).")]
Scratchpad = Annotated[str, typer.Option("--scratchpad", metavar="SIZE", help="Scratchpad of a core.")]
Banks = Annotated[
    str | None,
    typer.Option(
        "--banks",
        metavar="NxSIZE[xPORTS]",
        help="Scratchpad banks of either operand.",
        show_default="as wide as the array",
    ),
]
Double = Annotated[
    bool, typer.Option("--double-buffer/--single-buffer", help="Whether half of the scratchpad fills meanwhile.")
]
Layout = Annotated[str, typer.Option("--layout", metavar="tiles|rows", help="Matrices in memory, by tile or by row.")]
Cores = Annotated[int, typer.Option("--cores", metavar="N", help="Cores that share the memory and the GEMM.")]
Clock = Annotated[str, typer.Option("--clock", metavar="RATE", help="Clock of the cores.")]


def array(
    shape: Shape,
    gemm: Gemm,
    dataflow: Dataflow = "ws",
    overlap: Overlap = "none",
    density: Density = "1",
    buffers: Buffers = 2,
    switch: Switch = 1,
    kind: Kind = "systolic",
    bits: Bits = 8,
    tiles: Tiles = 1,
    record: Window = None,
    memory: Memory = None,
    mapping: Mapping = "mop4clxor",
    latency: Latency = "30ns",
    link: Link = "64GB/s",
    scratchpad: Scratchpad = "32MiB",
    banks: Banks = None,
    double_buffer: Double = True,
    layout: Layout = "tiles",
    cores: Cores = 1,
    clock: Clock = "1GHz",
    seed: option.Seed = 0,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Time one GEMM on one PE array whose operands are at hand; with --memory, on cores from memory to memory."""
    from dieshot.simulator.studies.micro.array import array as time_array
    from dieshot.simulator.studies.micro.core import CoreChoice

    core = memory and CoreChoice(memory, mapping, latency, link, scratchpad, clock, cores, banks, layout, double_buffer)
    outcome = time_array(
        shape,
        gemm,
        dataflow,
        overlap,
        density,
        buffers,
        switch,
        kind,
        bits,
        tiles,
        window=record,
        seed=seed,
        core=core or None,
    )
    if as_json:
        print_json(outcome)
    else:
        from dieshot.simulator.cli.table import print_record

        print_record(outcome)
