"""Options that several verbs share, declared once."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer


def whole_number(minimum: int) -> Callable[[str | int], int]:
    """Return a parser that refuses anything but a whole number of at least `minimum`, and names what it got."""

    def parse(value: str | int) -> int:
        try:
            number = int(value)
        except ValueError:
            number = minimum - 1
        if number < minimum:
            raise typer.BadParameter(f"{value!r}, expected a whole number of at least {minimum}")
        return number

    return parse


def refuse_unknown(value: str, names: Sequence[str], what: str) -> None:
    """Raise a usage error if `value` is none of `names`; it lists them and suggests the nearest."""
    if value in names:
        return
    nearest = get_close_matches(value, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise typer.BadParameter(f"{value!r}, expected one of {', '.join(names)}{hint}", param_hint=what)


def _compression(value: str) -> str:
    refuse_unknown(value, COMPRESSIONS, "'--compression'")
    return value


COMPRESSIONS = ("gzip", "zstd")
AT_LEAST_0, AT_LEAST_1 = whole_number(0), whole_number(1)

System = Annotated[str, typer.Argument(metavar="SYSTEM", help="A system by name (see `dieshot list systems`) or file.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model by name (see `dieshot list models`) or file.")]
RunFile = Annotated[
    Path, typer.Argument(metavar="RUN.h5", exists=True, dir_okay=False, readable=True, help="A result file.")
]

Batch = Annotated[int, typer.Option("--batch", parser=AT_LEAST_1, metavar="N", help="Sequences served together.")]
Prompt = Annotated[int, typer.Option("--prompt", parser=AT_LEAST_1, metavar="N", help="Prompt tokens per sequence.")]
Cached = Annotated[
    int,
    typer.Option(
        "--cached",
        parser=AT_LEAST_0,
        metavar="N",
        help="Tokens of each sequence that are in the cache before its prompt.",
    ),
]
Generate = Annotated[
    int,
    typer.Option(
        "--generate", parser=AT_LEAST_0, metavar="N", help="Tokens to generate per sequence; 0 is prefill only."
    ),
]
Precision = Annotated[
    str, typer.Option("--precision", help="Data type of weights and activations; w8a16: int8 and bf16.")
]
KvPrecision = Annotated[str, typer.Option("--kv-precision", help="Data type of the KV cache.")]
SystemPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Data type of weights and activations; w8a16: int8 and bf16.",
        show_default="the system's own, or fp8",
    ),
]
SystemKvPrecision = Annotated[
    str | None,
    typer.Option("--kv-precision", help="Data type of the KV cache.", show_default="the system's own, or bf16"),
]
Seed = Annotated[int, typer.Option("--seed", parser=AT_LEAST_0, metavar="N", help="Seed of everything that is drawn.")]
Routing = Annotated[str, typer.Option("--routing", help="How tokens choose experts: balanced or power_law.")]
Sparsity = Annotated[
    str, typer.Option("--sparsity", help="Zeros among the layers' weights: dense, 2:4 or unstructured.")
]
Density = Annotated[
    float | None,
    typer.Option("--density", metavar="SHARE", help="Share of unstructured weights that are not zero, above 0 to 1."),
]

TensorParallel = Annotated[
    int | None,
    typer.Option(
        "--tp",
        "--tensor-parallel",
        parser=AT_LEAST_1,
        metavar="N",
        help="Tensor-parallel ranks.",
        show_default="the system's own",
    ),
]
PipelineParallel = Annotated[
    int | None,
    typer.Option(
        "--pp",
        "--pipeline-parallel",
        parser=AT_LEAST_1,
        metavar="N",
        help="Pipeline stages.",
        show_default="the system's own",
    ),
]
MicroBatches = Annotated[
    int | None,
    typer.Option(
        "--micro-batches",
        parser=AT_LEAST_1,
        metavar="N",
        help="Equal parts of the batch that follow each other through the stages.",
        show_default="1, or one a stage where a stage serves one user at a time",
    ),
]
PrefillChunk = Annotated[
    int | None,
    typer.Option(
        "--prefill-chunk",
        parser=AT_LEAST_1,
        metavar="N",
        help="Tokens of a prompt that go through the stages together.",
        show_default="the system's own, or the whole prompt",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a parameter, e.g. chip.hbm.pin_rate=9.2Gbps, or the links: fabric=NAME. Repeatable.",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="PATH=VALUE",
        help="Run the same with this changed too, and print where time and energy moved, e.g. fabric=NAME. Repeatable.",
    ),
]
AgainstRun = Annotated[
    Path | None,
    typer.Option(
        "--against",
        metavar="RUN.h5",
        exists=True,
        dir_okay=False,
        readable=True,
        help="Print and store where time and energy moved from this run.",
        show_default="the file replayed, if anything is changed",
    ),
]
CriticalPath = Annotated[
    bool,
    typer.Option("--critical-path", help="Print the chain of operators and resources that sets the time."),
]
IfFaster = Annotated[
    bool,
    typer.Option(
        "--if-faster/--no-if-faster",
        help="With --critical-path, also simulate the run with each resource on it made far faster.",
    ),
]
Processes = Annotated[
    int, typer.Option("--processes", parser=AT_LEAST_1, metavar="N", help="Processes to simulate with.")
]

AllProcesses = Annotated[
    int | None,
    typer.Option(
        "--processes",
        parser=AT_LEAST_1,
        metavar="N",
        help="Processes to simulate with.",
        show_default="as many as there are processors",
    ),
]
Explain = Annotated[
    str | None,
    typer.Option("--explain", metavar="ID", help="Open one line: its run, what it waited for, what it hangs on."),
]

Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write the result.")]
NoLog = Annotated[bool, typer.Option("--no-log", help="Write no result file.")]
CompressionOption = Annotated[
    str,
    typer.Option(
        "--compression", parser=_compression, metavar="|".join(COMPRESSIONS), help="Compression of the result file."
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when a run fails.")]
