"""`dieshot micro PART`: put one part under one pattern and compare with pencil, paper or another simulator."""

from collections.abc import Callable

import typer

from dieshot.simulator.cli.micro_array import array
from dieshot.simulator.cli.micro_collective import collective
from dieshot.simulator.cli.micro_dram import dram
from dieshot.simulator.cli.micro_link import link
from dieshot.simulator.cli.micro_noc import noc
from dieshot.simulator.cli.micro_optics import optics
from dieshot.simulator.cli.micro_sram import sram

app = typer.Typer(help="Put one part under one pattern: cycles, utilization, latency.", no_args_is_help=True)

# One line a part, its function in simulator/cli/micro_<part>.py.
PARTS: dict[str, Callable[..., None]] = {
    "array": array,
    "collective": collective,
    "dram": dram,
    "link": link,
    "noc": noc,
    "optics": optics,
    "sram": sram,
}

for _part, _function in PARTS.items():
    app.command(name=_part)(_function)
