"""`dieshot list systems|chips|models|links|memories|costs|sweeps`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dieshot.simulator.cli import option, quantity
from dieshot.simulator.cli.output import print_json, reserved_stdout

KINDS = ("systems", "chips", "models", "links", "memories", "costs", "sweeps")

Kind = Annotated[
    str | None,
    typer.Argument(metavar="[systems|chips|models|links|memories|costs|sweeps]", help="What to list; all if absent."),
]


def list_catalog(kind: Kind = None, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """List the systems, chips, models, links, memories, costs and sweeps that can be named."""
    if kind is not None:
        option.refuse_unknown(kind, KINDS, "KIND")
    if kind == "links" and not as_json:
        _print_links()
        return
    with reserved_stdout():
        from dieshot.simulator.studies.describe import list_names

        names = {each: list(list_names(each)) for each in KINDS if kind in (None, each)}
    if as_json:
        print_json(names)
        return
    for each, members in names.items():
        if kind is None:
            print(f"{each}:")
        for name in members:
            print(name if kind else f"  {name}")


def _print_links() -> None:
    with reserved_stdout():
        from dieshot.simulator.studies.links import links

        found = links()
    from dieshot.simulator.cli.table import columns, console

    headings = {"link": "left", "topology": "left", "chips": "right", "rate": "right", "latency": "right"}
    headings |= {"energy": "right", "lasers": "right", "technology": "left"}
    title = "of one chip, one direction, all its links; from chip to chip"
    console().print(columns(title, headings, map(_link_row, found)))


def _link_row(link: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        link["name"],
        link["topology"],
        f"{link['max_chips']:,}",
        quantity.si(link["rate_bytes_per_s"], "B/s"),
        quantity.si(link["hop_latency_s"], "s"),
        f"{link['energy_j_per_bit'] * 1e12:.3g} pJ/bit",
        quantity.si(link["laser_w"], "W", 3) if link["laser_w"] else "",
        link["technology"],
    )
