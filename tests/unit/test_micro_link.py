"""`dieshot micro link` and `dieshot micro collective`: what comes out, and nonsense refused in one line."""

import json
from typing import Any

import pytest

from dieshot.simulator.cli.main import main
from dieshot.simulator.studies.micro.collective import collective
from dieshot.simulator.studies.micro.link import bytes_of, link

LINK = "nvlink4-nvswitch"


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
    record = collective("dgx-h100", "all-reduce", "1MiB")
    assert record["time_s"] == min(record["tried_time_s"].values())
    assert len(record["links"]) == 16
    assert all(0 < each["utilization"] <= 1 for each in record["links"])
    assert record["bus_bandwidth_bytes_per_s"] == pytest.approx(1.75 * record["algorithm_bytes_per_s"])
    assert collective("dgx-h100", "all-reduce", "4KiB")["algorithm"] == "one-shot"
    assert collective("dgx-h100", "all-reduce", "64MiB")["algorithm"] == "in-switch"


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
        (["link", LINK, "--bytes", "1PiB", "--n", "1"], "2**62"),
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
            ["collective", "dgx-h100", "all-reduce", "--topology", "ring:200", "--algorithm", "one-shot"],
            "transfers among 200",
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
