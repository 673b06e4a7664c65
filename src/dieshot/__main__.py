"""`python -m dieshot` is the `dieshot` command."""

import sys

from dieshot.simulator.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
