"""A system joined by other links: what stays, what is refused, what a run and its replay say of it."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from recorded import MODEL, Recorded, record

from dieshot import list_names, run
from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.studies.difference import difference
from dieshot.simulator.studies.links import links
from dieshot.simulator.studies.replay import replay
from dieshot.simulator.studies.setup import set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

FS = 10**15
FITTING = [each["name"] for each in links() if each["max_chips"] >= 8 and each["name"] != "groq-c2c"]
OWN = "nvlink4-nvswitch"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = tmp_path_factory.mktemp("model") / "config.json"
    config.write_text(json.dumps(MODEL))
    return str(config)


def small(model: str, *sets: str, system: str = "dgx-h100", **options: Any) -> Any:
    return run(system, model, prompt=32, generate=2, sets=sets, **options)


@pytest.mark.parametrize("name", FITTING)
def test_eight_gpus_by_any_links(name: str, model: str) -> None:
    """Moved bits take their energy, lasers the whole run; nothing else knows of the links."""
    setup = set_up("dgx-h100", [f"fabric={name}"])
    assert setup.fabric_parameters is not None
    link = setup.fabric_parameters.values
    result = small(model, f"fabric={name}")
    summary = result.summary
    moved = result.operators
    collective = moved[moved.kind.isin(("all_reduce", "all_gather"))]
    assert len(collective) > 0
    assert (collective.duration_fs >= link.hop_latency).all()
    cycles_ns = -(-round(summary["total_time_s"] * FS) // 10**6)
    lasers_j = 8 * link.n_links * (link.laser_power or 0) * 1e-3 * cycles_ns * 1e-9
    assert summary["energy_j"].get("link_laser", 0.0) == pytest.approx(lasers_j, rel=1e-9)
    assert summary["energy_j"]["link"] > 0
    assert link.replaces == (None if name == OWN else OWN)
    total = sum(summary["energy_j"].values())
    assert total == pytest.approx(summary["energy_per_token_j"] * 2, rel=1e-12)


def test_own_links_by_name_are_the_system_as_it_is(model: str, tmp_path: Path) -> None:
    files = [tmp_path / "own.h5", tmp_path / "named.h5"]
    for file, sets in zip(files, ((), (f"fabric={OWN}",)), strict=True):
        small(model, *sets, output=file)
    assert digest(files[0]) == digest(files[1])


def test_a_replay_has_the_same_links_others_or_the_own_again(model: str, tmp_path: Path) -> None:
    first, again, other, back, own = (tmp_path / f"{name}.h5" for name in ("first", "again", "other", "back", "own"))
    small(model, "fabric=optics-dsp", "fabric.energy=*2", output=first)
    replay(first, output=again)
    assert digest(first) == digest(again)
    other_run = replay(first, sets=["fabric=passage-l200"], output=other)
    assert other_run.summary == small(model, "fabric=passage-l200").summary | _measured(other_run.summary)
    replay(first, sets=[f"fabric={OWN}"], output=back)
    small(model, output=own)
    assert digest(back) == digest(own)
    with open_run(first) as file:
        assert "fabric=optics-dsp" in json.loads(file.provenance["command"])
        assert 'replaces: "nvlink4-nvswitch"' in file.provenance["fabric"]


def _measured(summary: Any) -> dict[str, Any]:
    return {key: summary[key] for key in ("wall_s", "peak_rss_bytes", "log_bytes")}


def test_the_library_of_a_chip_stays_with_it() -> None:
    def link(system: str, name: str) -> Any:
        resolved = set_up(system, [f"fabric={name}"]).fabric_parameters
        assert resolved is not None
        return resolved.values

    assert link("dgx-h100", "quantum-x").staging_setup == link("dgx-h100", OWN).staging_setup > 0
    assert link("tpu-v5e-8", "nvlink5-nvl72").staging_setup is None
    assert link("tpu-v5e-8", "nvlink5-nvl72").replaces == "ici-v5e"


def test_a_system_without_links_may_be_given_some(model: str, tmp_path: Path) -> None:
    file = tmp_path / "four.yaml"
    leaf = "{value: 4, unit: '1', kind: assumed, range: [1, 9], source: estimate, why: a test}"
    file.write_text(f"extends: h100-sxm\nname: four\nn_chips: {leaf}\npartition: {{tensor_parallel: 4}}\n")
    result = small(model, "fabric=passage-l20", system=str(file), pipeline_parallel=1)
    assert result.summary["tensor_parallel"] == 4
    assert result.summary["energy_j"]["link_laser"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run dgx-h100 llama-3-8b --set fabric=nvlink-c2c", ["nvlink-c2c", "at most 2 chips", "has 8"]),
        ("run dgx-h100 llama-3-8b --set fabric=pasage-l200", ["--set: fabric", "'passage-l200'"]),
        ("run dgx-h100 llama-3-8b --set fabric=cpo", ["--set: fabric", "did you mean 'optics-cpo'?"]),
        ("run dgx-h100 llama-3-8b --set fabric=groq-c2c", ["groq-c2c", "shape"]),
        ("run h100-sxm llama-3-8b --set fabric=passage-l200", ["one chip"]),
        ("run groq-8 qwen3-0.6b --set fabric=passage-l200", ["groq-8: ", "cannot be joined by passage-l200", "mesh"]),
        ("run groq-8 qwen3-0.6b --set fabric=copper-xsr", ["groq-8: ", "cannot be joined by copper-xsr", "shape"]),
        (
            "run corsair-server llama-3-8b --set fabric=copper-xsr",
            ["corsair-server: ", "cannot be joined by copper-xsr"],
        ),
        ("run inf2-12 llama-3-8b --set fabric=teraphy", ["at most 9 chips", "has 12"]),
        ("run dgx-h100 llama-3-8b --set fabric=*2", ["fabric", "not a number that can be scaled"]),
        ("run dgx-h100 llama-3-8b --against fabric=nvlink-c2c", ["at most 2 chips"]),
    ],
)
def test_what_cannot_be_joined_is_refused_in_one_line(
    words: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.h5"
    assert main([*words.split(), "-o", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(part in error for part in said), error
    assert not file.exists()


def test_links_between_all_chips_are_laid_for_those_that_there_are() -> None:
    for n_chips, n_each in ((8, 2), (6, 4), (16, 1)):
        setup = set_up("dgx-h100", ["fabric=passage-l200", f"system.n_chips={n_chips}"]).placed(2, 1)
        assert setup.fabric is not None
        lanes = [each for each in setup.fabric.components() if each.kind == "link"]
        assert len(lanes) == n_chips - 1
        assert {each.count for each in lanes} == {n_each}
    with pytest.raises(InputError, match="at most 21 chips"):
        set_up("dgx-h100", ["fabric=passage-l200", "system.n_chips=22"])


@pytest.fixture(scope="module")
def with_lasers(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("lasers")
    (folder / "lit.yaml").write_text("extends: dgx-h100\nname: lit\nfabric: photonic-fabric\n")
    return record(str(folder / "lit.yaml"), folder, 2)


def test_lasers_have_a_line_of_their_own_in_the_log(with_lasers: Recorded) -> None:
    tables = with_lasers.tables
    paths = with_lasers.text("components/path")
    line = paths.index("link/laser")
    assert with_lasers.text("components/kind")[line] == "link_laser"
    assert not (tables["cells/activity/component"] == line).any()
    cycles = tables["cells/totals/cycles"][:, line]
    assert (cycles[:, 0] == -(-tables["cells/duration_fs"] // 10**6)).all()
    burnt_fj = tables["components/static_fj_per_cycle"][line] * tables["components/count"][line]
    whole_fj = 8 * int(burnt_fj) * -(-with_lasers.duration_fs // 10**6)
    assert with_lasers.run.summary["energy_j"]["link_laser"] == whole_fj / 10**15
    assert "link_laser" not in with_lasers.run.summary["utilization"]
    with open_run(with_lasers.file) as file:
        window = file.cycles("chip0/link/laser", 0, 5)
    assert window.power_w.tolist() == [pytest.approx(4.741)] * 5


def test_a_system_with_lasers_adds_up_as_all_others_do(with_lasers: Recorded) -> None:
    path = Path(__file__).parents[1] / "property" / "test_conformance.py"
    spec = importlib.util.spec_from_file_location("conformance", path)
    assert spec is not None and spec.loader is not None
    laws = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(laws)
    tests = [law for name, law in vars(laws).items() if name.startswith("test_")]
    tests = [law for law in tests if list(inspect.signature(law).parameters) == ["recorded"]]
    assert len(tests) >= 6
    for law in tests:
        law(with_lasers)


def test_more_energy_a_bit_moves_energy_alone(model: str) -> None:
    lit = "fabric=passage-l20"
    moved = difference(small(model, lit), small(model, lit, "fabric.energy=*2"))
    assert {row["kind"]: row["ratio"] for row in moved["energy"] if row["change"]} == {
        "link": pytest.approx(2, rel=1e-3)
    }
    for table in ("operators", "kinds", "stalls"):
        assert all(row["change"] == 0 for row in moved[table])
    brighter = difference(small(model, lit), small(model, lit, "fabric.laser_power=*3"))
    assert {row["kind"]: row["ratio"] for row in brighter["energy"] if row["change"]} == {
        "link_laser": pytest.approx(3, rel=1e-9)
    }


def test_catalog_names_are_those_of_the_documents() -> None:
    assert [each["name"] for each in links()] == list_names("links")


def all_reduce_us(n_bytes: int, *sets: str) -> float:
    fabric = set_up("dgx-h100", sets).placed(8, 1).fabric
    assert fabric is not None
    dims = {"elements": n_bytes // 2, "group": 8}
    operator = make_operator("sum", "all_reduce", dims, Formats("bf16", None, "bf16"), "x")
    return fabric.carry_out(operator, 8, record=False).duration_fs / 1e9


def test_the_library_bounds_direct_links_as_it_does_switched_ones() -> None:
    """Reads by the window over the round trip; or buffers that are set up and filled; or, for short ones, neither."""
    lit, n_bytes = "fabric=passage-l200", 1 << 24
    link = set_up("dgx-h100", [lit]).fabric_parameters
    assert link is not None
    hop_us, lane_rate = link.values.hop_latency / 1e9, 2 * link.values.rate * 0.9
    window = 400_000
    read_us = 2 * 7 / 8 * n_bytes * 2 * hop_us / window
    reading = all_reduce_us(n_bytes, lit, f"fabric.read_window={window}B", "fabric.staging_setup=1s")
    assert read_us < reading < 1.1 * read_us
    staged = all_reduce_us(n_bytes, lit, f"fabric.read_window={window}B")
    wire_us = 2 * n_bytes / 8 / lane_rate * 1e6
    assert 12 + wire_us < staged < reading
    later = all_reduce_us(n_bytes, lit, f"fabric.read_window={window}B", "fabric.staging_setup=15us")
    assert later == pytest.approx(staged + 3, abs=0.01)
    short = all_reduce_us(1 << 12, lit)
    assert short == all_reduce_us(1 << 12, lit, "fabric.staging_setup=1s", "fabric.read_window=1kB")


def test_a_faster_hop_is_all_that_short_messages_gain() -> None:
    electrical, optical = (all_reduce_us(1 << 12, f"fabric={name}") for name in (OWN, "passage-l200"))
    hop = {each["name"]: each["hop_latency_s"] * 1e6 for each in links()}
    assert electrical - optical == pytest.approx(2 * (hop[OWN] - hop["passage-l200"]), rel=0.6)
    assert electrical > optical


def test_a_send_through_a_switch_is_charged_in_full(model: str) -> None:
    summary = run(
        "dgx-h100", model, prompt=8, generate=1, tensor_parallel=1, pipeline_parallel=2, precision="bf16"
    ).summary
    config = json.loads(Path(model).read_text())
    n_bytes = 2 * 8 * config["hidden_size"] * 2  # last output and residual stream of eight tokens, 16 bits
    assert summary["energy_j"]["link"] == pytest.approx(n_bytes * 8 * 5.5e-12, rel=0.01)
