"""What a cluster of our own leaves on disk: the batch script, the certificate."""

import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.engines import certificate as certificates
from dieshot.simulator.sweep.engines.certificate import certificate_in
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.engines.slurm import dry_run

SWEEP = "system: corsair-server\nmodel: qwen3-0.6b\nbatch: [1, 2]\n"


def test_the_script_is_printed_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.yaml").write_text(SWEEP)
    words = ["sweep", "two.yaml", "--engine", "slurm", "--workers", "3", "--partition", "long", "--time", "1-12:00:00"]
    assert main([*words, "--slurm-option", "--mem=4G", "--slurm-option", "-Aproject", "--dry-run"]) == 0
    script = capsys.readouterr().out
    for line in ("--array=0-2", "--requeue", "--partition=long", "--time=1-12:00:00", "--mem=4G", "-Aproject"):
        assert f"\n#SBATCH {line}\n" in script
    assert f"-m dask worker --scheduler-file {tmp_path}/two.sweep/cluster/" in script
    for other in ("#PBS -J 0-2", '#BSUB -J "dieshot-sweep[1-3]"', "queue 3"):
        assert other in script
    assert list(tmp_path.iterdir()) == [tmp_path / "two.yaml"]


@pytest.mark.parametrize("name", ["a b", "it's", '$(touch "x")', "ü;rm -rf"])
def test_a_script_is_sound_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    try:
        script = dry_run(EngineOptions(folder, workers=1))
    except InputError as error:
        assert str(error).startswith("--cluster-folder: Slurm cannot write to a folder of this name")
        return
    file = tmp_path / "script"
    # a worker that tells what it was given
    lines = script.replace(" -m dask worker", ' -c "import sys; print(sys.argv[2])"')
    file.write_text(lines)
    done = subprocess.run(["bash", file], capture_output=True, text=True, cwd=tmp_path, timeout=30, check=True)
    assert done.stdout.strip() == str(folder / "cluster" / "dieshot-sweep.json")
    assert {each.name for each in tmp_path.iterdir()} == {"script"}


@pytest.mark.parametrize(("signal", "n_starts"), [("TERM", 1), ("KILL", 2)])
def test_a_worker_that_is_killed_is_started_again_unless_it_was_told_to_end(
    tmp_path: Path, signal: str, n_starts: int
) -> None:
    """KILL: of the worker alone, as by the kernel. TERM: of the script, which passes it on."""
    worker = tmp_path / "worker.sh"
    whom = "$PPID" if signal == "TERM" else "$$"
    worker.write_text(
        f"""echo start >>log; test "$(wc -l <log)" -lt 2 || exit 0
        trap 'echo told >>log; exit 143' TERM; kill -{signal} {whom}; sleep 5 & wait"""
    )
    script = dry_run(EngineOptions(tmp_path, workers=1))
    (command,) = [line for line in script.splitlines() if line.strip().endswith("&")]
    file = tmp_path / "script"
    file.write_text(script.replace(command, f"bash {worker} &"))
    subprocess.run(["bash", file], cwd=tmp_path, timeout=30, check=False)
    told = (tmp_path / "log").read_text().split()
    assert told.count("start") == n_starts
    assert ("told" in told) == (signal == "TERM")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"partition": "a\n#SBATCH --x"}, "--partition: cannot stand in a batch script; expected a name of sinfo"),
        ({"time": "soon"}, "--time: cannot stand in a batch script; expected minutes, H:MM:SS or D-HH; got 'soon'"),
        ({"slurm_options": ("--mem=1\nrm",)}, "--slurm-option: cannot stand in a batch script"),
    ],
)
def test_what_cannot_stand_in_a_script_is_refused(tmp_path: Path, options: dict[str, str], line: str) -> None:
    with pytest.raises(InputError) as raised:
        dry_run(EngineOptions(tmp_path, **options))  # type: ignore[arg-type]
    assert str(raised.value).startswith(line)


def test_an_option_of_another_engine_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(SWEEP)
    assert main(["sweep", str(file), "--partition", "long"]) == 2
    expected = "dieshot: --partition: not an option of the engine processes; expected --engine slurm\n"
    assert capsys.readouterr().err == expected
    assert main(["sweep", str(file), "--engine", "slurm", "--tls-ca", "x"]) == 2
    assert capsys.readouterr().err == "dieshot: --tls-ca: not an option of the engine slurm; expected --engine dask\n"


def test_a_certificate_is_for_its_owner_only_and_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    made = certificate_in(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}
    before = [file.read_bytes() for file in made]
    assert [file.read_bytes() for file in certificate_in(folder)] == before
    context = ssl.create_default_context(cafile=str(made.certificate))
    context.load_cert_chain(made.certificate, made.key)


@pytest.mark.parametrize("harm", ["cut", "other key", "readable", "old"])
def test_a_certificate_that_is_not_fit_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    made = certificate_in(tmp_path / "cluster")
    before = made.certificate.read_bytes()
    if harm == "cut":
        made.certificate.write_bytes(before[:100])
    elif harm == "other key":
        made.key.write_bytes(certificate_in(tmp_path / "other").key.read_bytes())
    elif harm == "readable":
        made.key.chmod(0o644)
    else:
        monkeypatch.setattr(certificates, "LEFT", certificates.VALID)
    again = certificate_in(tmp_path / "cluster")
    assert again.certificate.read_bytes() not in (before, before[:100])
    assert stat.S_IMODE(again.key.stat().st_mode) == 0o600
