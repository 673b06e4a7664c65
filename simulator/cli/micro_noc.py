"""`dieshot micro noc TOPOLOGY`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Network = Annotated[
    str,
    typer.Argument(
        metavar="TOPOLOGY", help="mesh:8x8, torus:8x8, ring:16, crossbar:16, fattree:K,LEVELS or dragonfly:A,P,H."
    ),
]
Rate = Annotated[float, typer.Option("--rate", metavar="R", help="Offered flits a cycle and terminal.")]
Packet = Annotated[int, typer.Option("--packet", parser=option.AT_LEAST_1, metavar="N", help="Flits a packet.")]
Vcs = Annotated[int, typer.Option("--vcs", parser=option.AT_LEAST_1, metavar="N", help="Virtual channels a channel.")]
Buffer = Annotated[
    int, typer.Option("--buffer", parser=option.AT_LEAST_1, metavar="N", help="Flits a virtual channel can queue.")
]
Cycles = Annotated[int, typer.Option("--cycles", parser=option.AT_LEAST_1, metavar="N", help="Cycles measured.")]
Warmup = Annotated[int, typer.Option("--warmup", parser=option.AT_LEAST_0, metavar="N", help="Cycles before those.")]
Pattern = Annotated[
    str,
    typer.Option(
        "--pattern",
        help="uniform, transpose, complement, tornado, neighbour, hotspot; or one tree over all terminals: broadcast,"
        " reduce.",
    ),
]
Routing = Annotated[str, typer.Option("--routing", help="wormhole, circuit or static (slots reserved ahead).")]
Speedup = Annotated[
    int | None,
    typer.Option(
        "--speedup",
        parser=option.AT_LEAST_1,
        metavar="N",
        help="Inputs of a switch a port has; 2, or 1 with one virtual channel.",
    ),
]
Early = Annotated[
    bool, typer.Option("--early", help="Reuse a virtual channel once the tail is sent, before its credits are back.")
]
FlitBytes = Annotated[
    int, typer.Option("--flit-bytes", parser=option.AT_LEAST_1, metavar="N", help="Bytes a flit, for its energy.")
]
LinkMm = Annotated[
    float | None, typer.Option("--link-mm", metavar="MM", help="Wire between two routers, for its energy.")
]
Saturation = Annotated[bool, typer.Option("--saturation", help="Search the highest stable rate as well.")]


def noc(
    network: Network,
    rate: Rate = 0.1,
    packet: Packet = 1,
    vcs: Vcs = 8,
    buffer: Buffer = 8,
    cycles: Cycles = 10_000,
    warmup: Warmup = 3_000,
    pattern: Pattern = "uniform",
    routing: Routing = "wormhole",
    seed: option.Seed = 0,
    saturation: Saturation = False,
    speedup: Speedup = None,
    early: Early = False,
    flit_bytes: FlitBytes = 32,
    link_mm: LinkMm = None,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Packets through a network on a die: latency, accepted rate, hops, whether it is stable."""
    with reserved_stdout():
        from dieshot.simulator.studies.micro.noc import noc as measure

        record = measure(
            network, rate, packet, vcs, buffer, cycles, warmup, pattern, routing, seed, saturation, speedup, early,
            flit_bytes, link_mm,
        )  # fmt: skip
    if as_json:
        print_json(record)
    else:
        from dieshot.simulator.cli.quantity import label, text

        for key, value in record.items():
            print(f"{label(key):28} {text(key, value)}")
