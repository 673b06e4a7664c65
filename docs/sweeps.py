"""Draw the catalog's sweeps: `python docs/sweeps.py [NAME ...]` runs each and writes docs/sweep-NAME.png."""

import subprocess
import sys
import tempfile
from pathlib import Path

from dieshot import list_names

FOLDER = Path(__file__).resolve().parent
DIESHOT = str(Path(sys.executable).with_name("dieshot"))


def main(names: list[str]) -> None:
    """Run each sweep in a store of its own, kept no longer than the picture takes."""
    for name in names or list_names("sweeps"):
        with tempfile.TemporaryDirectory() as store:
            picture = FOLDER / f"sweep-{name}.png"
            subprocess.run([DIESHOT, "sweep", name, "--store", store, "--plot", str(picture)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
