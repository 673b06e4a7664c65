"""One Slurm and one set of true results for all tests of this folder."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from cluster.processes import path_with_tests
from cluster.sweeps import oracle

SCRIPT = Path(__file__).with_name("slurm.sh")
NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "slurmctld", "slurmd", "munged")
END_S, LIMIT_S = 60, 120


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """No test of this folder may hang, whatever it waits for."""

    def end(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"not done after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def true_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The sweep's results as this process computes them."""
    return oracle(tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A real Slurm; its folder."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    absent = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if absent:
        pytest.skip(f"no Slurm here: {', '.join(absent)} not found (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root only")
    folder = Path(tempfile.mkdtemp(prefix="dieshot-slurm-"))  # the path of a socket is short
    with (folder / "slurm.sh.log").open("wb") as errors:
        daemons = subprocess.Popen(
            [SCRIPT, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert daemons.stdout is not None and daemons.stdin is not None
    try:
        said = daemons.stdout.readline().strip()
        if said != "ready":
            pytest.skip(f"Slurm does not start here: {said or (folder / 'slurm.sh.log').read_text().strip()[-300:]}")
        yield folder
    finally:
        daemons.stdin.close()
        daemons.wait(END_S)
        shutil.rmtree(folder)


@pytest.fixture
def loopback(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have Slurm's commands and the workers' Python find what they need."""
    monkeypatch.setenv("SLURM_CONF", str(slurm / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", path_with_tests())
    return slurm
