"""`dieshot micro PART`: put one part under one pattern and compare with pencil, paper or another simulator."""

from collections.abc import Callable

import typer

app = typer.Typer(help="Put one part under one pattern: cycles, utilization, latency.", no_args_is_help=True)

# One line a part, its function in simulator/cli/micro_<part>.py.
PARTS: dict[str, Callable[..., None]] = {}

for _part, _function in PARTS.items():
    app.command(name=_part)(_function)
