"""Options that several verbs share, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Compression(StrEnum):
    """Compression of the result file's datasets."""

    GZIP = "gzip"
    ZSTD = "zstd"


System = Annotated[str, typer.Argument(metavar="SYSTEM", help="A system by name (see `dieshot list systems`) or file.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model by name (see `dieshot list models`) or file.")]
RunFile = Annotated[
    Path, typer.Argument(metavar="RUN.h5", exists=True, dir_okay=False, readable=True, help="A result file.")
]

Batch = Annotated[int, typer.Option("--batch", min=1, help="Sequences served together.")]
Prompt = Annotated[int, typer.Option("--prompt", min=1, help="Prompt tokens per sequence.")]
Generate = Annotated[int, typer.Option("--generate", min=0, help="Tokens to generate per sequence; 0 is prefill only.")]
Precision = Annotated[str, typer.Option("--precision", help="Data type of weights and activations.")]
KvPrecision = Annotated[str, typer.Option("--kv-precision", help="Data type of the KV cache.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")]
Routing = Annotated[str, typer.Option("--routing", help="How tokens choose experts: balanced or power_law.")]

TensorParallel = Annotated[
    int | None,
    typer.Option("--tp", "--tensor-parallel", min=1, help="Tensor-parallel ranks.", show_default="the system's own"),
]
PipelineParallel = Annotated[
    int | None,
    typer.Option("--pp", "--pipeline-parallel", min=1, help="Pipeline stages.", show_default="the system's own"),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a parameter, e.g. chip.hbm.pin_rate=9.2Gbps. Repeatable."),
]
Processes = Annotated[int, typer.Option("--processes", min=1, help="Processes to simulate with.")]

Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write the result.")]
NoLog = Annotated[bool, typer.Option("--no-log", help="Write no result file.")]
CompressionOption = Annotated[Compression, typer.Option("--compression", help="Compression of the result file.")]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when a run fails.")]
