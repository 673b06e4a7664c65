"""`dieshot micro dram MEMORY`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Memory = Annotated[str, typer.Argument(metavar="MEMORY", help="A memory by name (such as hbm3) or file.")]


def dram(
    memory: Memory,
    pattern: Annotated[str, typer.Option(help="seq, rand or stride.")] = "seq",
    n: Annotated[int, typer.Option("--n", help="Requests of one burst.")] = 1 << 20,
    mapping: Annotated[str, typer.Option(help="A name such as mop4clxor, or an order of fields.")] = "mop4clxor",
    scheduler: Annotated[str, typer.Option(help="frfcfs, rowhit or bankturn.")] = "frfcfs",
    queue: Annotated[int, typer.Option(help="Depth of the read and of the write queue.")] = 32,
    refresh: Annotated[str, typer.Option(help="allbank, perbank or none.")] = "allbank",
    page: Annotated[str, typer.Option(help="open or closed.")] = "open",
    read_fraction: Annotated[float, typer.Option(help="Share of reads.")] = 1.0,
    channels: Annotated[int, typer.Option(help="Channels behind one front end.")] = 1,
    requesters: Annotated[int, typer.Option(help="Streams, each in its own part of the memory.")] = 1,
    load: Annotated[float | None, typer.Option(help="Arrivals as a share of the peak; without: saturating.")] = None,
    bank_queue: Annotated[int, typer.Option(help="Requests in a queue of each bank, with bankturn.")] = 0,
    forward: Annotated[bool, typer.Option(help="Answer reads from writes that wait.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of random addresses and of the choice of reads.")] = 0,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override.")] = None,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Serve one pattern of requests from one memory: cycles, percent of peak, latency, energy by command."""
    with reserved_stdout():
        from dieshot.simulator.studies.micro.dram import micro_dram

        record = micro_dram(
            memory, pattern=pattern, n=n, mapping=mapping, scheduler=scheduler, queue=queue, refresh=refresh, page=page,
            read_fraction=read_fraction, channels=channels, requesters=requesters, load=load, seed=seed,
            bank_queue=bank_queue, forward=forward, overrides=tuple(changes or ()),
        )  # fmt: skip
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        print(f"{name:34} {value}")
