"""Where compiled kernels are kept: a folder for the sources as they are, and another when bounds are checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OUT_OF_RANGE = """
import numpy as np
from dieshot.kernels.heap import push
push(np.zeros((1, 2), np.int64), 3, 0, 0)
"""


def run(code: str, cache_home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment = {**kept, "XDG_CACHE_HOME": str(cache_home), **variables}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def folder(cache_home: Path, **variables: str) -> str:
    code = "import dieshot.kernels, numba; print(numba.config.CACHE_DIR)"
    return run(code, cache_home, **variables).stdout.strip()


def test_checked_and_unchecked_code_do_not_share_a_folder(tmp_path: Path) -> None:
    plain, checked = folder(tmp_path), folder(tmp_path, NUMBA_BOUNDSCHECK="1")
    assert plain.startswith(str(tmp_path / "dieshot" / "numba"))
    assert checked == f"{plain}-boundscheck"
    assert folder(tmp_path, NUMBA_BOUNDSCHECK="0") == plain
    assert folder(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "own")) == str(tmp_path / "own")


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_checked_code_refuses_an_index_out_of_range(tmp_path: Path) -> None:
    done = run(OUT_OF_RANGE, tmp_path, NUMBA_BOUNDSCHECK="1")
    assert done.returncode != 0
    assert "IndexError" in done.stderr
