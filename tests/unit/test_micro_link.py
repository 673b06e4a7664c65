"""`dieshot micro link` and `dieshot micro collective`: what comes out, and nonsense refused in one line."""

import json
from typing import Any

import pytest

import dieshot
from dieshot.simulator.cli.main import main
from dieshot.simulator.studies.micro.collective import collective
from dieshot.simulator.studies.micro.link import bytes_of, link
from dieshot.simulator.studies.micro.topology import n_chips_of
from dieshot.simulator.studies.setup import set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

LINK = "nvlink4-nvswitch"
BF16 = Formats("bf16", None, "bf16")


def test_an_idle_link_takes_wire_codeword_and_hop() -> None:
    alone = link(LINK, "1KiB", n=1, load=0.01)
    assert alone["average_wait_s"] == 0
    assert alone["average_latency_s"] == pytest.approx(alone["idle_latency_s"], abs=11e-9)  # place in the codeword
    codewords_s = 2 * 256 / 25e9
    assert 0.7e-6 < alone["idle_latency_s"] - alone["serialization_s"] < 0.7e-6 + codewords_s


def test_a_loaded_link_waits_and_carries_what_is_offered() -> None:
    quiet, busy = link(LINK, "4KiB", n=50_000, load=0.3), link(LINK, "4KiB", n=50_000, load=0.9)
    assert busy["average_wait_s"] > 5 * quiet["average_wait_s"] > 0
    assert quiet["average_wait_s"] == pytest.approx(quiet["queue_theory_wait_s"], rel=0.05)
    assert busy["utilization"] == pytest.approx(0.9, rel=0.02)
    assert busy["bytes_sent"] >= 50_000 * 4096


def test_a_small_buffer_bounds_the_rate() -> None:
    small = link(LINK, "64KiB", n=200, load=1.5, arrivals="even", sets=["fabric.layers.receiver_buffer=8KiB"])
    round_trip_s = 2 * 0.7e-6
    assert small["throughput_bytes_per_s"] == pytest.approx(0.87 * 8192 / round_trip_s, rel=0.05)
    assert small["blocked_fraction"] > 0.5
    assert link(LINK, "64KiB", n=200, load=1.5, arrivals="even")["utilization"] > 0.97


def test_the_fastest_algorithm_is_chosen_and_its_links_told() -> None:
    record = collective("dgx-h100", "all-reduce", "1MiB", "ideal")
    assert record["time_s"] == min(record["tried_time_s"].values())
    assert len(record["links"]) == 16
    assert all(0 < each["utilization"] <= 1 for each in record["links"])
    assert record["bus_bandwidth_bytes_per_s"] == pytest.approx(1.75 * record["algorithm_bytes_per_s"])
    assert collective("dgx-h100", "all-reduce", "4KiB", "ideal")["algorithm"] == "one-shot"
    assert collective("dgx-h100", "all-reduce", "64MiB", "ideal")["algorithm"] == "in-switch"


def in_a_run(system: str, kind: str, n_chips: int, n_bytes: int) -> float:
    fabric = set_up(system).placed(n_chips, 1).fabric
    assert fabric is not None
    operator = make_operator("sum", kind, {"elements": n_bytes // 2, "group": n_chips}, BF16, "x")
    return fabric.carry_out(operator, n_chips, record=False).duration_fs / 1e15


@pytest.mark.parametrize("n_chips", [2, 3, 8])
@pytest.mark.parametrize("size", ["2", "64KiB", "1MiB", "300MiB"])
@pytest.mark.parametrize(("kind", "operator"), [("all-reduce", "all_reduce"), ("all-gather", "all_gather")])
def test_by_default_a_collective_takes_as_long_as_in_a_run(kind: str, operator: str, size: str, n_chips: int) -> None:
    record = collective("dgx-h100", kind, size, n_chips=n_chips)
    assert record["time_s"] == in_a_run("dgx-h100", operator, n_chips, bytes_of("--bytes", size))
    assert record["model"].startswith("as in a run")


@pytest.mark.parametrize("size", ["2", "64KiB", "1MiB", "16MiB"])
def test_an_ideal_schedule_bounds_what_a_run_has(size: str) -> None:
    ideal = collective("dgx-h100", "all-reduce", size, "ideal")
    assert ideal["model"].startswith("ideal schedule")
    assert ideal["time_s"] <= 1.01 * collective("dgx-h100", "all-reduce", size)["time_s"]


def test_a_run_places_the_very_collective_that_micro_shows() -> None:
    run = dieshot.run("dgx-h100", "qwen3-0.6b", prompt=64, generate=1, tensor_parallel=8)
    reduces = run.operators[run.operators.kind == "all_reduce"]
    assert len(reduces)
    for n_bytes, duration_fs in set(zip(reduces.output_bytes, reduces.duration_fs, strict=True)):
        assert collective("dgx-h100", "all-reduce", str(n_bytes))["time_s"] == duration_fs / 1e15


def test_both_models_say_what_they_lean_on() -> None:
    as_in_a_run, ideal = (collective("dgx-h100", "all-reduce", "1MiB", name) for name in (None, "ring"))
    assert ideal["assumed"] == ["hop_latency", "protocol_efficiency", "energy"]
    assert ideal["fitted"] == []
    assert set(as_in_a_run["assumed"]) >= {"hop_latency", "protocol_efficiency", "energy"}
    assert "read_window" in as_in_a_run["fitted"]


def test_energy_is_that_of_the_bits_from_chip_to_chip() -> None:
    size, per_bit_j = 1 << 20, 5.5e-12
    for topology in ("switch:8", "ring:8"):
        record = collective("dgx-h100", "all-gather", "1MiB", "ring", topology=topology)
        assert record["link_energy_j"] == pytest.approx(7 * size * 8 * per_bit_j)
    assert link(LINK, "1MiB", n=3)["link_energy_j"] == pytest.approx(3 * size * 8 * per_bit_j)
    cell = collective("dgx-h100", "all-gather", "1MiB")
    flags = 8 * 7 * 128  # a flag follows each share
    assert cell["link_energy_j"] == pytest.approx((7 * size + flags) * 8 * per_bit_j)


@pytest.mark.parametrize(
    "topology", ["mesh:4x2", "torus:2x2x2", "tree:2x4", "fat-tree:2x4", "dragonfly:4x2", "dragonfly:3x3", "torus:1x5"]
)
def test_all_topologies_are_joined_and_obey_their_degree(topology: str) -> None:
    record = collective("dgx-h100", "all-reduce", "1MiB", topology=topology)
    assert record["chips"] == n_chips_of(topology)
    assert 0 < max(each["utilization"] for each in record["links"]) <= 1
    there = {(each["from"], each["to"]) for each in record["links"]}
    assert {(b, a) for a, b in there} == there


def test_as_much_goes_up_a_fat_tree_as_comes_in() -> None:
    flat, fat, thin = (
        collective("dgx-h100", "all-to-all", "64MiB", "direct", topology=topology, sets=["fabric.max_chips=16"])
        for topology in ("switch:16", "fat-tree:4x4", "tree:4x4")
    )
    assert fat["time_s"] < 1.3 * flat["time_s"]
    # 12 of 16 shares of 4 chips leave through one link
    assert thin["time_s"] == pytest.approx(4 * 12 / 15 * flat["time_s"], rel=0.05)


@pytest.mark.parametrize(("level", "message"), [("flit", "64KiB"), ("packet", "3KiB")])
@pytest.mark.parametrize("buffer", ["4KiB", "16KiB", "32KiB", "128KiB"])
def test_throughput_is_the_lesser_of_wire_and_credits(level: str, message: str, buffer: str) -> None:
    sets = [f"fabric.layers.receiver_buffer={buffer}"]
    record = link(LINK, message, n=2000, load=2, arrivals="even", level=level, sets=sets)
    assert record["throughput_bytes_per_s"] == pytest.approx(record["credit_bound_bytes_per_s"], rel=0.02)


@pytest.mark.parametrize(("topology", "edges"), [("ring:8", 16), ("torus:4x4", 64), ("full:5", 20)])
def test_the_links_of_a_chip_are_split_over_its_neighbours(topology: str, edges: int) -> None:
    record = collective("dgx-h100", "all-gather", "16MiB", "ring", topology=topology)
    assert len(record["links"]) == edges
    degree = edges // record["chips"]
    n = record["chips"]
    one_way_s = (n - 1) / n * 2**24 / (18 * 25e9 * 0.87 / degree)
    assert record["time_s"] == pytest.approx(one_way_s, rel=0.15)
    assert record["time_s"] > one_way_s


def test_repeating_gives_the_same() -> None:
    first, second = (collective("dgx-h100", "all-to-all", "1MiB", topology="torus:4x2") for _ in range(2))
    assert first == second


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["micro", "link", LINK, "--bytes", "64KiB", "--n", "100", "--load", "0.8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 100
    assert main(["micro", "collective", "dgx-h100", "all-reduce", "--bytes", "1MiB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chips"] == 8
    assert main(["micro", "collective", "dgx-h100", "broadcast", "--bytes", "1MiB"]) == 0
    assert "busiest link" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["link", "nvlink4-nvswich"], "'nvlink4-nvswitch'"),
        (["link", LINK, "--bytes", "0"], "--bytes"),
        (["link", LINK, "--bytes", "64KiBB"], "--bytes"),
        (["link", LINK, "--bytes", "-5"], "--bytes"),
        (["link", LINK, "--load", "0"], "--load"),
        (["link", LINK, "--load", "-0.5"], "--load"),
        (["link", LINK, "--load", "nan"], "--load"),
        (["link", LINK, "--n", "0"], "--n"),
        (["link", LINK, "--arrivals", "poison"], "'poisson'"),
        (["link", LINK, "--level", "flits"], "'flit'"),
        (["link", LINK, "--level", "packet", "--bytes", "1MiB"], "buffer"),
        (["link", LINK, "--set", "fabric.layers.fec_latensy=1ns"], "fec_latency"),
        (["link", LINK, "--bytes", "1PiB", "--n", "1"], "too many flits"),
        (["link", LINK, "--bytes", "1KiB", "--n", "1000000", "--load", "1e-9"], "2**62"),
        (["collective", "dgx-h100", "all-reduce", "--bytes", "1PiB"], "2**62"),
        (["collective", "dgx-h100", "all-reduce", "--bytes", "1PiB", "--algorithm", "ring"], "2**62"),
        (["collective", "dgx-h100", "all-reduce", "--bytes", "9223372036854775807"], "at most 1 PiB"),
        (["collective", "dgx-h100", "all-reduce", "--set", "fabric.rate=1B/s", "--algorithm", "ring"], "too slow"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "dragonfly:9"], "dragonfly:5x4"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "torus:4x4x4x4"], "torus:4x2"),
        (["collective", "dgx-h100", "all-reduse"], "'all-reduce'"),
        (["collective", "dgx-h10", "all-reduce"], "'dgx-h100'"),
        (["collective", "h100-sxm", "all-reduce"], "no links"),
        (["collective", "dgx-h100", "all-reduce", "--algorithm", "rings"], "'ring'"),
        (["collective", "dgx-h100", "all-to-all", "--algorithm", "tree"], "--algorithm"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "rng:8"], "'ring'"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "torus:8"], "torus:4x2"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "ring:1"], "2 to"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "ring:8", "--chips", "4"], "--chips"),
        (["collective", "dgx-h100", "all-reduce", "--chips", "16"], "at most 8"),
        (["collective", "dgx-h100", "all-reduce", "--topology", "ring:8", "--algorithm", "in-switch"], "no switch"),
        (["collective", "dgx-h100", "all-gather", "--chips", "6", "--algorithm", "recursive"], "power of two"),
        (["collective", "dgx-h100", "all-reduce", "--bytes", "0B"], "--bytes"),
        (["collective", "dgx-h100", "all-reduce", "--chunks", "0"], "--chunks"),
        (["collective", "dgx-h100", "all-reduce", "--chunks", "5000"], "--chunks"),
        (
            ["collective", "dgx-h100", "all-reduce", "--topology", "ring:800", "--algorithm", "ring", "--chunks", "8"],
            "transfers among 800",
        ),
    ],
)
def test_nonsense_is_refused_in_one_line(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["micro", *words]) == 2
    captured: Any = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err


@pytest.mark.parametrize(("text", "bytes_"), [("64KiB", 65536), ("1.5 kB", 1500), ("4096", 4096), ("1MB", 10**6)])
def test_sizes_are_read(text: str, bytes_: int) -> None:
    assert bytes_of("--bytes", text) == bytes_
