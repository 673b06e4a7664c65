"""`dieshot micro collective SYSTEM KIND`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Kind = Annotated[
    str,
    typer.Argument(metavar="COLLECTIVE", help="all-reduce, all-gather, reduce-scatter, all-to-all or broadcast."),
]
Size = Annotated[str, typer.Option("--bytes", metavar="SIZE", help="Data of one chip, e.g. 64MiB.")]
Algorithm = Annotated[
    str | None,
    typer.Option(
        "--algorithm",
        help="An ideal schedule: ring, double-ring, tree, recursive, direct, two-shot, one-shot, in-switch, or ideal "
        "for the fastest of them.",
        show_default="as in a run where that is known, else ideal",
    ),
]
Chips = Annotated[
    int | None,
    typer.Option("--chips", parser=option.AT_LEAST_1, metavar="N", help="Chips.", show_default="all of the system"),
]
Topology = Annotated[
    str | None,
    typer.Option(
        "--topology",
        help="The system's links wired as ring:8, mesh:4x2, torus:4x4x2, full:8, switch:8, tree:2x4, fat-tree:2x4 or "
        "dragonfly:5x4.",
        show_default="the system's own",
    ),
]
Chunks = Annotated[
    int | None,
    typer.Option("--chunks", parser=option.AT_LEAST_1, metavar="N", help="Pieces in a pipeline.", show_default="auto"),
]


def collective(
    system: option.System,
    kind: Kind,
    size: Size = "64MiB",
    algorithm: Algorithm = None,
    chips: Chips = None,
    topology: Topology = None,
    chunks: Chunks = None,
    sets: option.Sets = None,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """One collective, as a run has it or by an ideal schedule: time, bus bandwidth, energy, use of every link."""
    with reserved_stdout():
        from dieshot.simulator.studies.micro.collective import collective as measure

        record = measure(system, kind, size, algorithm, chips, topology, chunks, sets or ())
    if as_json:
        print_json(record)
    else:
        from dieshot.simulator.cli.quantity import label, text

        links = record.pop("links")
        tried = record.pop("tried_time_s", {})
        busiest = max(links, key=lambda link: float(link["utilization"]))
        for key, value in record.items():
            print(f"{label(key):24} {text(key, ', '.join(value) or None if isinstance(value, list) else value)}")
        print(
            f"{'busiest link':24} {busiest['from']} to {busiest['to']}: {text('utilization', busiest['utilization'])}"
        )
        for name, time_s in tried.items():
            print(f"{f'  {name}':24} {text('time_s', time_s)}")
