"""`dieshot micro sram`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json

Banks = Annotated[int, typer.Option("--banks", metavar="N", help="Banks, words interleaved over them.")]
Width = Annotated[str, typer.Option("--width", metavar="SIZE", help="Width of a bank, such as 4B.")]
Pattern = Annotated[str, typer.Option("--pattern", metavar="strided|random|transposed", help="Order of the addresses.")]
Stride = Annotated[int, typer.Option("--stride", metavar="N", help="Elements between neighbours, or in a row.")]
Count = Annotated[int, typer.Option("--n", metavar="N", help="Elements to read.")]
Ports = Annotated[int, typer.Option("--ports", metavar="N", help="Words that a bank serves a cycle.")]
Lanes = Annotated[
    int | None,
    typer.Option("--lanes", metavar="N", help="Elements read together.", show_default="one a bank"),
]
Access = Annotated[
    str | None, typer.Option("--access", metavar="SIZE", help="Size of an element.", show_default="one word")
]
Capacity = Annotated[str, typer.Option("--capacity", metavar="SIZE", help="Capacity of all banks together.")]
Node = Annotated[str, typer.Option("--node", metavar="n45|n7|n5|n3", help="Process node, for the energy.")]
Merge = Annotated[bool, typer.Option("--merge/--no-merge", help="Whether lanes that want one word share the access.")]
Rotate = Annotated[bool, typer.Option("--rotate/--no-rotate", help="Turn each row of words by a bank.")]


def sram(
    banks: Banks = 32,
    width: Width = "4B",
    pattern: Pattern = "strided",
    stride: Stride = 1,
    n: Count = 1 << 20,
    ports: Ports = 1,
    lanes: Lanes = None,
    access: Access = None,
    capacity: Capacity = "256KiB",
    node: Node = "n7",
    merge: Merge = True,
    rotate: Rotate = False,
    seed: option.Seed = 0,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Read one banked SRAM in one pattern: cycles, bank conflicts, energy."""
    from dieshot.simulator.studies.micro.sram import sram as read_sram

    outcome = read_sram(banks, width, pattern, stride, n, ports, lanes, access, capacity, node, merge, rotate, seed)
    if as_json:
        print_json(outcome)
    else:
        from dieshot.simulator.cli.table import print_record

        print_record(outcome)
