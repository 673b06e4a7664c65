"""Wall time of `dieshot --help`; the aim is 0.3 s."""

import subprocess
import sys
from pathlib import Path
from typing import Any


def test_help(benchmark: Any) -> None:
    command = [str(Path(sys.executable).with_name("dieshot")), "--help"]
    done = benchmark.pedantic(
        lambda: subprocess.run(command, capture_output=True, check=True), rounds=10, warmup_rounds=2
    )
    assert b"describe" in done.stdout
