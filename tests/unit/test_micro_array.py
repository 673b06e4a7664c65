"""`dieshot micro array` and `dieshot micro sram`: what they print, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dieshot.simulator.cli.main import main


def answer(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    assert main(["micro", *line.split(), "--json"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_the_reference_gemm(capsys: pytest.CaptureFixture[str]) -> None:
    ws = answer(capsys, "array 128x128 --gemm 512,512,512 --dataflow ws --overlap none")
    assert (ws["cycles"], ws["occupied_cycles"], ws["folds"], ws["macs"]) == (14303, 14304, 16, 512**3)
    # Words as SCALE-Sim counts them.
    assert ws["words"] == {"inputs": 1048576, "weights": 262144, "sums": 1048576}
    os = answer(capsys, "array 128x128 --gemm 512,512,512 --dataflow os")
    assert (os["cycles"], os["words"]["inputs"], os["words"]["weights"]) == (12255, 1048576, 1048576)
    # SCALE-Sim writes 266240: 2 x 128 words more for each of the 16 folds, which hold no sum.
    assert os["words"]["sums"] == 266240 - 16 * 2 * 128
    folds = answer(capsys, "array 128x128 --gemm 512,512,512 --overlap folds")
    assert folds["cycles"] == 128 + 16 * 512 + 15 + 2 * 127 - 1
    assert sum(folds["cycles_by_term"].values()) == folds["occupied_cycles"]


def test_one_buffer_density_and_record(capsys: pytest.CaptureFixture[str]) -> None:
    single = answer(capsys, "array 8x8 --gemm 20,16,16 --overlap folds --buffers 1")
    assert single["fold_interval_cycles"] == 20 + 8
    half = answer(capsys, "array 8x8 --gemm 20,16,16 --density 2:4")
    assert half["macs"] == half["skipped_macs"] == 20 * 16 * 8
    drawn = answer(capsys, "array 8x8 --gemm 20,16,64 --density 0.25 --seed 3 --record 0:1000")
    assert sum(drawn["busy_pes"]) == drawn["macs"] == drawn["busy_pe_cycles"]
    assert drawn["cycles"] < answer(capsys, "array 8x8 --gemm 20,16,64")["cycles"]
    drawn = answer(capsys, "array 8x8 --gemm 20,16,64 --density 0.25 --dataflow is --record 0:1000")
    assert drawn["macs"] < sum(drawn["busy_pes"]) == drawn["busy_pe_cycles"] < 20 * 16 * 64
    bits = answer(capsys, "array 8x8 --gemm 20,8,8 --kind bit_serial --bits 4")
    assert bits["occupied_cycles"] == 8 + 20 * 4 + 14


def test_a_core_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    line = "array 128x128 --gemm 128,8192,1024 --overlap folds --memory 16xhbm2 --latency 30ns --clock 1GHz"
    done = answer(capsys, line)
    core = done["core"]
    assert done["cycles"] < core["array_cycles"] < core["cycles"] == sum(core["cycles_by_term"].values())
    assert core["cycles"] == pytest.approx(67419, rel=0.02)  # ONNXim
    assert core["read_bytes"] == 2 * (128 * 1024 + 8192 * 1024) == 32 * core["n_RD"]
    assert core["written_bytes"] == 2 * 128 * 8192 == 32 * core["n_WR"]
    assert 0.4 < core["memory_utilization"] < 0.5
    assert core["memory_energy_fj"] > core["n_RD"] * 10**6


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_every_choice_of_a_core_counts(capsys: pytest.CaptureFixture[str], dataflow: str) -> None:
    line = f"array 16x8 --gemm 100,70,90 --overlap folds --memory hbm3 --scratchpad 64KiB --dataflow {dataflow}"
    plain = answer(capsys, line)["core"]
    for choice, fewer in (
        ("--latency 500ns", False), ("--single-buffer --scratchpad 8KiB", False), ("--banks 2x4B", False),
        ("--cores 3", True), ("--layout rows --link 1GB/s", False), ("--clock 100MHz", True),
    ):  # fmt: skip
        changed = answer(capsys, f"{line} {choice}")["core"]
        assert (changed["cycles"] < plain["cycles"]) == fewer and changed["cycles"] != plain["cycles"], choice


def test_strides_and_conflicts(capsys: pytest.CaptureFixture[str]) -> None:
    worst = answer(capsys, "sram --banks 32 --width 4B --pattern strided --stride 32 --n 1024")
    assert (worst["cycles"], worst["conflicts"], worst["energy_fj"]) == (1024, 992, 1024 * 7500 // 2)
    best = answer(capsys, "sram --banks 32 --width 4B --pattern strided --stride 33 --n 1024")
    assert (best["cycles"], best["conflicts"]) == (32, 0)
    assert answer(capsys, "sram --pattern random --n 4096 --seed 1 --node n5")["assumed"] == ["n5_per_n7"]
    assert answer(capsys, "sram --pattern transposed --stride 32 --n 1024 --rotate")["conflicts"] == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "array 8x8 --gemm 4,4,4 --dataflow wss",
            "unknown dataflow; expected one of ws, os, is; got 'wss'; did you mean",
        ),
        ("array 8x8 --gemm 4,4,4 --overlap fold", "did you mean 'folds'?"),
        ("array 8x0 --gemm 4,4,4", "expected rows x columns, such as 128x128; got '8x0'"),
        ("array 8x8 --gemm 4,4", "expected M,N,K"),
        ("array 8x8 --gemm 4,4,-4", "expected M,N,K"),
        ("array 8x8 --gemm 4,4,4 --density 5:4", "density: not a density"),
        ("array 8x8 --gemm 4,4,4 --density nan", "density: not a density"),
        ("array 8x8 --gemm 4,4,4 --density 0.0", "density: not a density"),
        ("array 8x8 --gemm 4,4,4 --density 0.000001", "no weight is left"),
        ("array 1x1 --gemm 1,1,999999999999 --density 0.5", "too many folds with unstructured density"),
        ("array 8x8 --gemm 999999999999,3,9 --density 0.5 --dataflow os", "too many folds with unstructured density"),
        ("array 8x8 --gemm 9,3,999999999999 --density 0.5 --dataflow is", "gemm: out of range"),
        ("array 8x8 --gemm 9223372036854775807,1,1", "expected M,N,K"),
        ("array 8x8 --gemm 0,1,1", "expected M,N,K"),
        ("array 8x8 --gemm 999999,999999,999999 --kind bit_serial --bits 1024", "cannot be timed"),
        ("array 8x8 --gemm 4,4,4 --buffers 3", "buffers: out of range; expected 1 to 2; got 3"),
        ("array 8x8 --gemm 4,4,4 --bufers 2", "No such option: --bufers"),
        ("array 8x8 --gemm 4,4,4 --record 9:3", "record: not a window"),
        ("array 9999999x9999999 --gemm 4,4,4", "at most 2**40 PEs"),
        ("array 1x1 --gemm 999999999999,999999999999,9", "at most 2305843009213693952 MACs"),
        ("array 8x8 --gemm 4,4,4 --memory hbm22", "did you mean 'hbm2'"),
        ("array 8x8 --gemm 4,4,4 --memory 0xhbm2", "n_channels: too small"),
        ("array 8x8 --gemm 4,4,4 --memory 3xhbm2", "channels: not a power of two"),
        ("array 8x8 --gemm 4,4,4 --memory 16x38.4GB/s", "38.4GB/s: no such file"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --mapping mop", "mapping: unknown mapping"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --clock 0Hz", "clock: not possible"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --latency 3GB", "latency: not possible"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --link 1B/s", "link: not possible"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --cores 0", "cores: out of range"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --layout row", "did you mean 'rows'?"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --banks 4", "expected BANKSxWIDTH"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --banks 0x4B", "expected BANKSxWIDTH"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --density 0.5", "a core runs dense or N:M"),
        ("array 8x8 --gemm 4,4,4 --memory hbm2 --scratchpad 64B", "a fold does not fit"),
        ("array 8x8 --gemm 999999999999,4,4 --memory hbm2 --scratchpad 256MiB", "moves too much"),
        ("array 1x1 --gemm 4,999,999 --memory hbm2", "too many folds"),
        ("sram --pattern stridded", "did you mean 'strided'?"),
        ("sram --access 300KiB", "access: too large"),
        ("sram --access 64KiB", "too many words to read"),
        ("sram --lanes 1048576", "too many words to compare"),
        ("sram --capacity 1GiB", "no energy known for a bank so large"),
        ("sram --stride 0", "stride: out of range"),
        ("sram --n 9223372036854775808", "n: out of range"),
        ("sram --banks 0", "banks: out of range"),
        ("sram --n -5", "n: out of range"),
        ("sram --width 4", "width: not a size"),
        ("sram --ports 0", "n_ports: not possible"),
        ("sram --node n8", "unknown node"),
        ("sram --capacity 1000B", "a multiple of 32 banks"),
    ],
)
def test_nonsense_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], line: str, words: str) -> None:
    assert main(["micro", *line.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and words in printed.err
