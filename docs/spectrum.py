"""Draw a spectrum: `dieshot spectrum --json > x.json`, then `python docs/spectrum.py x.json spectrum.png`."""

import json
import sys
from pathlib import Path

from dieshot.simulator.report.scatter import scatter_figure


def main(source: str, target: str) -> None:
    """Write the picture of the systems that run the model."""
    found = json.loads(Path(source).read_text())
    able = [row for row in found["systems"] if row["refused"] is None and row["failed"] is None]
    figure = scatter_figure(able)
    figure.suptitle(f"{found['model']}, decoding at {found['context']:,} tokens of context (area: power)", fontsize=10)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
