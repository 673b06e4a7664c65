"""`dieshot micro optics CHIP`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json

Chip = Annotated[str, typer.Argument(metavar="CHIP", help="A photonic chip of `dieshot list chips`, or its file.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a parameter of the chip; again for more."),
]


def optics(chip: Chip, sets: Sets = None, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """Put optical arrays to work: rate, latency of a pass, effective bits, power when busy, area of a multiplier."""
    from dieshot.simulator.studies.micro.optics import optics as put_to_work

    outcome = put_to_work(chip, sets or ())
    if as_json:
        print_json(outcome)
    else:
        from dieshot.simulator.cli.table import print_record

        print_record(outcome)
