"""`dieshot micro link LINK`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Name = Annotated[str, typer.Argument(metavar="LINK", help="A link by name (see `dieshot list links`) or file.")]
Message = Annotated[str, typer.Option("--bytes", metavar="SIZE", help="Payload of a message, e.g. 64KiB.")]
N = Annotated[int, typer.Option("--n", parser=option.AT_LEAST_1, metavar="N", help="Messages.")]
Load = Annotated[float, typer.Option("--load", metavar="SHARE", help="Offered load as a share of the wire.")]
Arrivals = Annotated[str, typer.Option("--arrivals", help="When messages come: poisson or even.")]
Level = Annotated[str, typer.Option("--level", help="Credits by flit, or by whole packet.")]
Senders = Annotated[int, typer.Option("--senders", parser=option.AT_LEAST_1, metavar="N", help="Who share the link.")]


def link(
    name: Name,
    message: Message = "64KiB",
    n: N = 1000,
    load: Load = 0.8,
    arrivals: Arrivals = "poisson",
    level: Level = "flit",
    senders: Senders = 1,
    seed: option.Seed = 0,
    sets: option.Sets = None,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Messages over one link: latency and wait under load, utilization, stalls for credits."""
    with reserved_stdout():
        from dieshot.simulator.studies.micro.link import link as measure

        record = measure(name, message, n, load, arrivals, level, senders, seed, sets or ())
    if as_json:
        print_json(record)
    else:
        from dieshot.simulator.cli.quantity import label, text

        speed = record.pop("simulator_flits_per_s")
        parts = record.pop("idle_latency_parts")
        for key, value in record.items():
            print(f"{label(key):24} {text(key, value)}")
            if key == "idle_latency_s":
                for name, time_s in parts.items():
                    print(f"{f'  {label(name)}':24} {text(name, time_s)}")
        print(f"{'simulated':24} {speed / 1e6:,.1f} M flits/s")
