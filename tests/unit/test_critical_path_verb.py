"""`--critical-path` on run, replay and show: what is named, what faster resources give, what is printed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recorded import MODEL

from dieshot import critical_path, run
from dieshot.simulator.cli.main import main
from dieshot.simulator.engine.cell import STATES
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.studies.critical_path.resource import scaled
from dieshot.simulator.studies.limit import COMMON
from dieshot.simulator.studies.replay import replay
from dieshot.simulator.studies.setup import set_up

SHAPE = ("--prompt", "48", "--generate", "3")
# A system of every architecture, and of others of its chips that have other parameters.
NAMING = ("h100-sxm", "tpu-v6e-1", "inf2-1", "cs3", "groq-8", "corsair-card", "metis-card", "sohu-1", "hc1", "pace",
          "sn40l-8")  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = tmp_path_factory.mktemp("model") / "config.json"
    config.write_text(json.dumps(MODEL))
    return str(config)


@pytest.fixture(scope="module")
def decode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tokens that a model of eight billion weights generates on one chip, for one user."""
    file = tmp_path_factory.mktemp("decode") / "decode.h5"
    run("tpu-v6e-1", "llama-3-8b", prompt=8, generate=2, output=file)
    return file


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(words) == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def test_decode_for_one_user_hangs_on_the_memory(decode: Path) -> None:
    found = critical_path(decode)
    first = found["resources"][0]
    assert first["resource"] == "HBM" and first["share"] > 0.5
    assert first["sets"] == [f"chip.hbm.pin_rate=*{first['factor']}"]
    gain_fs = found["duration_fs"] - first["if_faster_fs"]
    assert 0.4 * first["time_fs"] < gain_fs < first["time_fs"]  # then the DMA engines are at their peak
    others = [each["if_faster_fs"] for each in found["resources"][1:] if each["factor"] is not None]
    assert others and all(first["if_faster_fs"] < each for each in others)
    with_it = replay(decode, sets=first["sets"])
    assert with_it.duration_fs == first["if_faster_fs"]
    down = next(each for each in found["operators"] if each["name"] == "down_proj" and each["phase"] == "decode")
    assert down["resources"][0]["resource"] == "HBM"


@pytest.mark.parametrize("system", ["dgx-h100", "tpu-v6e-8", "corsair-card", "sohu-8", "sn40l-8"])
def test_a_faster_resource_gives_what_it_was_used_and_waited_for_at_most(system: str, model: str) -> None:
    found = critical_path(run(system, model, prompt=64, generate=2))
    simulated = [each for each in found["resources"] if each["factor"] is not None]
    assert {each["resource"] for each in found["resources"] if each["share"] > 0.02} >= {
        each["resource"] for each in simulated
    }
    assert len(simulated) >= 2
    for each in simulated:
        assert found["duration_fs"] - each["if_faster_fs"] <= each["in_use_fs"] + found["waiting_fs"]
        assert each["if_free_bound_fs"] == found["duration_fs"] - each["time_fs"]


def test_processes_do_not_change_what_is_found(model: str) -> None:
    done = run("tpu-v6e-1", model, prompt=32, generate=2)
    assert critical_path(done, processes=2) == critical_path(done)


@pytest.mark.parametrize("system", NAMING)
def test_what_architectures_name_is_there(system: str) -> None:
    setup = set_up(system)
    chip = setup.chip
    resources = COMMON | dict(chip.resources)
    assert chip.resources
    kinds = {spec.kind for spec in chip.components()}
    named = [of for resource in chip.resources.values() for of in resource.of]
    assert len(set(named)) == len(named)
    assert {of for of in named if not of.startswith(("stall_", "idle"))} <= kinds | {"link", "d2d", "dram_channel"}
    assert {of for of in named if of.startswith(("stall_", "idle"))} <= set(STATES)
    for name, resource in chip.resources.items():
        if resource.faster:
            found = [scaled(setup.resolved, change, 2) for change in resource.faster]
            assert any(found) or name == "links", name
    assert all(scaled(setup.resolved, change, 2) is None for change in ("chip.nothing=*{}", "nothing.at.all=*{}"))
    assert {"links", "host"} <= set(resources)


def test_whole_numbers_are_divided_upwards() -> None:
    resolved = set_up("h100-sxm").resolved
    assert scaled(resolved, "chip.launch.dispatch_latency=/{}", 64) == "chip.launch.dispatch_latency=5cycle"
    assert scaled(resolved, "chip.launch.latency=/{}", 64) == "chip.launch.latency=10937500fs"
    assert scaled(resolved, "chip.hbm.pin_rate=*{}", 64) == "chip.hbm.pin_rate=*64"


def test_the_verbs_print_it(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "run.h5")
    ran = answer(capsys, "run", "dgx-h100", model, *SHAPE, "--critical-path", "--no-if-faster", "--json", "-o", file)
    shown = answer(capsys, "show", file, "--critical-path", "--no-if-faster", "--json")
    again = answer(capsys, "replay", file, "--critical-path", "--no-if-faster", "--json", "--no-log")
    paths = [{**record["critical_path"], "run": ""} for record in (ran, shown, again)]
    assert paths[0] == paths[1] == paths[2]
    assert all(each["if_faster_fs"] is None for each in paths[0]["resources"])
    assert "critical_path" not in answer(capsys, "show", file, "--json")
    assert main(["show", file, "--critical-path"]) == 0
    text = capsys.readouterr().out
    for part in ("critical path", "host gap", "run if free", "resources on it", "times as fast", "holds"):
        assert part in text


def test_a_run_that_did_not_end_has_none(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path / "killed.h5"):
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="the run did not come to its end"):
        critical_path(tmp_path / "killed.h5.part")
    with pytest.raises(InputError, match="chip: missing key"):
        critical_path(repository / "tests/data/run_v1.h5")
