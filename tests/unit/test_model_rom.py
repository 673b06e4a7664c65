"""A chip with one model in ROM: what it refuses, cycles by hand, tokens in other blocks, low-rank paths, replicas."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from recorded import operators_of, placed_sum, record

from dieshot import run
from dieshot.chips.model_rom import QUIET, ModelRom
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.total import totals
from dieshot.simulator.params import configs_folder
from dieshot.simulator.studies.replay import replay
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator, build_trace, load_model_config

MODEL = "llama-3.1-8b"
PERIOD_FS = 10**6
CONTEXT = {"prompt": 1, "cached": 199, "generate": 3}


def chip(*sets: str) -> ModelRom:
    built = set_up("hc1", sets).chip
    assert isinstance(built, ModelRom)
    return built


@cache
def layer(kv_len: int, kv_precision: str = "int8") -> tuple[Operator, ...]:
    """Return the operators of a layer for one token that sees so many positions."""
    config = load_model_config(configs_folder() / "models" / f"{MODEL}.json")
    trace = build_trace(
        config, batch=1, prompt=1, cached=kv_len - 1, generate=0, precision="w4a8", kv_precision=kv_precision
    )
    return trace.steps[0].blocks[1].operators


def cycles(model: ModelRom, kv_len: int = 8, kv_precision: str = "int8") -> dict[str, int]:
    """Return the cycles of each operator of a layer by name."""
    operators = layer(kv_len, kv_precision)
    outcomes = model.carry_out_all(operators, QUIET)
    assert all(outcome.duration_fs % PERIOD_FS == 0 for outcome in outcomes)
    return {each.name: outcome.duration_fs // PERIOD_FS for each, outcome in zip(operators, outcomes, strict=True)}


def alone(model: ModelRom, name: str, kv_len: int = 8) -> int:
    """Return the cycles of an operator by itself, its input there from the start."""
    operator = next(each for each in layer(kv_len) if each.name == name)
    return model.carry_out(operator, QUIET).duration_fs // PERIOD_FS


def figures(system: str = "hc1", **options: Any) -> dict[str, Any]:
    return dict(run(system, MODEL, **(CONTEXT | options)).summary)


def refusal(system: str = "hc1", model: str = MODEL, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        run(system, model, **({"prompt": 4, "generate": 2} | options))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_any_other_model_is_refused_by_name(tmp_path: Path) -> None:
    assert refusal(model="llama-3-8b") == (
        "hc1: hc1 has llama-3.1-8b in its ROM and runs no other model, not llama-3-8b"
    )
    assert refusal(model="mixtral-8x7b").endswith("runs no other model, not mixtral-8x7b")
    same = (configs_folder() / "models" / f"{MODEL}.json").read_text()
    (tmp_path / "mine.json").write_text(same)
    assert refusal(model=str(tmp_path / "mine.json")).endswith("runs no other model, not mine")
    wider = json.loads(same) | {"intermediate_size": 14464}
    (tmp_path / f"{MODEL}.json").write_text(json.dumps(wider))
    assert "the 8,030,261,248 weights of llama-3.1-8b in its ROM, not this llama-3.1-8b of 8,080,592,896" in refusal(
        model=str(tmp_path / f"{MODEL}.json")
    )


def test_other_formats_are_refused() -> None:
    assert refusal(precision="bf16") == "hc1: hc1 runs llama-3.1-8b in w4a8, as it is in the ROM, not bf16"
    assert "keeps its cache in int8 or bf16, not fp8" in refusal(kv_precision="fp8")
    assert "cannot skip zeros of its ROM" in refusal(sparsity="2:4")


def test_the_sram_keeps_as_many_positions_as_it_has_room_for() -> None:
    figures(prompt=1, cached=2045, generate=3)
    assert refusal(prompt=1, cached=2046, generate=3) == (
        "hc1: hc1 keeps 2,048 positions of all users together in int8, in 134.2 MB of SRAM; not 2,049 (1 x 2,049)"
    )
    assert "keeps 1,024 positions of all users together in bf16" in refusal(prompt=1025, kv_precision="bf16")
    ranks = ["chip.lora.rank=16"]
    assert "keeps 1,408 positions of all users together in int8, in 134.2 MB of SRAM, beside 41.9 MB" in refusal(
        prompt=1408, generate=2, sets=ranks
    )
    # users of their own, each with half of it and one more
    assert "with batch 2 does not fit on hc1" in refusal(batch=2, prompt=1024, generate=2)


def test_there_are_transistors_for_so_many_lanes() -> None:
    # 53e9 less 8 x 128 MiB x 6 and 8.03e9, half of it for 33 blocks, 2,000 each: 142 x 2,048 lanes
    assert (53e9 - 8 * 2**27 * 6 - 8030261248) / 2 / 33 / 2000 // 2048 == 142
    chip("chip.rom.rows=142")
    assert "rom.rows: cannot be with the other parameters; expected at most 142" in refusal(sets=["chip.rom.rows=143"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "rom.broadcast=2Mcycle",
            "rom.broadcast: cannot be with the other parameters; expected at most 1048576 cycles",
        ),
        ("vector.rate=100Mop/cycle", "vector.rate: cannot be with the other parameters; expected with"),
        ("sram.capacity=2GiB", "rom.rows: cannot be with the other parameters; expected at most 0"),
        ("sram.bank=24KiB", "sram.bank: cannot be with the other parameters; expected whole banks for 32 layers"),
        ("sram.port=48B/cycle", "sram.port: cannot be with the other parameters; expected a divisor of the bank's"),
        ("lora.rank=1.5", "lora.rank: cannot be with the other parameters; expected a whole number"),
    ],
)
def test_what_no_chip_can_have_is_refused(change: str, message: str) -> None:
    assert message in refusal(sets=[f"chip.{change}"])


@pytest.mark.parametrize(
    "sets",
    [
        ("rom.rows=100", "rom.columns=1500"),
        ("rom.product=0cycle", "rom.broadcast=0cycle", "rom.read=0cycle", "sram.latency=0cycle"),
        ("sram.port=2048B/cycle", "attention.mac_rate=7MAC/cycle"),
        ("vector.rate=7op/cycle", "vector.transcendental_rate=3op/cycle", "clock=0.7GHz"),
    ],
)
def test_odd_chips_do_all_the_work(sets: tuple[str, ...]) -> None:
    model, operators = chip(*(f"chip.{change}" for change in sets)), layer(37)
    specs, macs = model.components(), 0
    for outcome in model.carry_out_all(operators, QUIET):
        (cell,) = outcome.cells
        counted = totals(cell.activity, specs, cell.duration_fs)  # refuses intervals that overlap
        macs += sum(int(n) for n, spec in zip(counted.amount, specs, strict=True) if spec.amount_unit == "MAC")
    wanted = sum(operator.macs for operator in operators)
    assert wanted <= macs < 1.1 * wanted


def test_a_matrix_takes_a_cycle_for_every_group_of_rows_and_columns() -> None:
    model = chip()
    # formed and broadcast in 6 cycles; cell, tree of 7 levels in 4 and the sum in 7
    for name, groups in (("qkv_proj", 32 * 3), ("o_proj", 32 * 2), ("gate_up_proj", 32 * 14), ("down_proj", 112 * 2)):
        assert alone(model, name) == 6 + groups + 7
        assert alone(chip("chip.rom.rows=64"), name) == 6 + 2 * groups + 6
    assert alone(chip("chip.rom.broadcast=9cycle"), "o_proj") == 64 + 7 + 11


def test_parts_of_a_layer_overlap() -> None:
    model = chip()
    whole = sum(cycles(model).values())
    assert whole < sum(alone(model, each.name) for each in layer(8))
    # SwiGLU hands over row after row: the last matrix is done soon after the last of them
    assert cycles(model)["down_proj"] < alone(model, "down_proj")


def test_attention_takes_a_beat_more_for_keys_and_one_for_values_every_four_positions() -> None:
    model = chip()
    times = {kv_len: cycles(model, kv_len)["attention"] for kv_len in (61, 64, 65, 68, 128, 256)}
    assert times[61] == times[64] == times[65] - 2
    assert times[65] == times[68]
    assert times[256] - times[128] == 2 * 32
    # 16-bit elements: twice the words
    wide = {kv_len: cycles(model, kv_len, "bf16")["attention"] for kv_len in (128, 256)}
    assert wide[256] - wide[128] == 2 * 64
    slow = chip("chip.attention.mac_rate=4096MAC/cycle")
    assert cycles(slow, 256)["attention"] - cycles(slow, 128)["attention"] == 4 * 2 * 32
    few = chip("chip.vector.transcendental_rate=64op/cycle")
    assert cycles(few, 256)["attention"] - cycles(few, 128)["attention"] == 32 + 2 * 32


def test_only_attention_depends_on_the_context_and_its_bytes_are_the_traces() -> None:
    model = chip()
    short, longer, far = (model.carry_out_all(layer(n), QUIET) for n in (62, 63, 640))
    for index, operator in enumerate(layer(62)):
        same = short[index].cells[0] is far[index].cells[0]
        assert same == (operator.kind != "attention")
    at = next(index for index, each in enumerate(layer(62)) if each.kind == "attention")
    assert short[at].duration_fs == longer[at].duration_fs
    for outcomes, n in ((short, 62), (longer, 63), (far, 640)):
        (cell,) = outcomes[at].cells
        assert cell.counters["kv_read_bytes"] == layer(n)[at].kv_read_bytes == n * 2048
        assert cell.counters["macs"] == layer(n)[at].macs <= cell.counters["macs_issued"]


def test_tokens_of_a_step_pass_one_after_the_other() -> None:
    config = load_model_config(configs_folder() / "models" / f"{MODEL}.json")
    trace = build_trace(config, batch=2, prompt=3, generate=0, precision="w4a8", kv_precision="int8")
    operators, model = trace.steps[0].blocks[1].operators, chip()
    outcomes = model.carry_out_all(operators, QUIET)
    one_by_one = [sum(cycles(model, kv_len).values()) for kv_len in (1, 2, 3)] * 2
    assert sum(outcome.duration_fs for outcome in outcomes) == sum(one_by_one) * PERIOD_FS
    for operator, outcome in zip(operators, outcomes, strict=True):
        assert sum(cell.counters["macs"] for cell in outcome.cells) == operator.macs
        assert sum(cell.counters["kv_write_bytes"] for cell in outcome.cells) == operator.kv_write_bytes


def test_other_users_are_in_the_other_blocks_at_no_cost() -> None:
    one, eight = figures(), figures(batch=8)
    assert eight["micro_batches"] == 8
    assert eight["time_per_output_token_s"] == pytest.approx(one["time_per_output_token_s"], rel=0.01)
    together = figures(batch=8, micro_batches=1)
    assert together["time_per_output_token_s"] > 7.9 * one["time_per_output_token_s"]
    # more users than the slowest block has turns for in the time of one: the head sets the pace
    many = figures(batch=33, cached=40)
    assert many["time_per_output_token_s"] > 1.5 * figures(cached=40)["time_per_output_token_s"]


def test_tokens_in_flight_are_as_many_as_stages() -> None:
    """A prompt's tokens follow each other through the stages; one stage: one token on the whole chip."""
    prompt = {"prompt": 32, "cached": 0, "generate": 1}
    first = {pp: figures(pipeline_parallel=pp, **prompt)["time_to_first_token_s"] for pp in (1, 2, 33)}
    assert first[1] > 1.8 * first[2] > 10 * first[33]
    decode = {pp: figures(pipeline_parallel=pp)["time_per_output_token_s"] for pp in (1, 33)}
    assert decode[1] < decode[33] < 1.05 * decode[1]  # 32 ways from block to block
    with pytest.raises(InfeasibleError, match="at most 33 stages, one a block"):
        chip().divided(34)


def test_a_low_rank_path_costs_time_room_and_energy() -> None:
    rank = ["chip.lora.rank=8"]
    plain, adapted = figures(), figures(sets=rank)
    assert plain["time_per_output_token_s"] < adapted["time_per_output_token_s"]
    assert plain["energy_j"]["sram"] < adapted["energy_j"]["sram"]
    operators = {each.name: each for each in layer(8)}
    model = chip(*rank)
    # q, k, v from 4,096 features down to 8, then up to all of theirs; bytes
    assert model.stored_weight_bytes(operators["qkv_proj"]) == 8 * (3 * 4096 + 6144)
    assert chip().stored_weight_bytes(operators["qkv_proj"]) == 0
    (cell,) = model.carry_out(operators["qkv_proj"], QUIET).cells
    assert cell.counters["lora_bytes"] == 8 * (3 * 4096 + 6144)


def test_energy_goes_by_the_bits_of_a_weight() -> None:
    thin, thick = (figures(sets=[f"chip.rom.bits_per_weight={bits}"])["energy_j"]["rom"] for bits in (3, 6))
    assert thick / thin == pytest.approx((60 + 5 * 6) / (60 + 5 * 3))


def test_cards_of_a_server_serve_users_of_their_own(tmp_path: Path) -> None:
    card = figures()
    server = figures("hc1-x10", batch=10, output=tmp_path / "server.h5")
    assert (server["chips"], server["data_parallel"], server["micro_batches"]) == (10, 10, 1)
    for key in ("tokens_per_s_system", "average_power_w"):
        assert server[key] == pytest.approx(10 * card[key])
    for key in ("time_per_output_token_s", "energy_per_token_j", "chip_power_w", "utilization", "bounds"):
        assert server[key] == pytest.approx(card[key])
    again = replay(tmp_path / "server.h5").summary
    assert (again["batch"], again["energy_j"]) == (10, server["energy_j"])
    assert replay(tmp_path / "server.h5", "hc1").summary["micro_batches"] == 10


def test_as_many_cards_are_used_as_can_have_equal_parts() -> None:
    used = {batch: figures("hc1-x10", batch=batch, cached=9)["chips"] for batch in (1, 7, 12, 20)}
    assert used == {1: 1, 7: 7, 12: 6, 20: 10}
    assert "partition.data_parallel: cannot be shared evenly; expected a divisor of the 10 chips; got 3" in refusal(
        "hc1-x10", sets=["system.partition.data_parallel=3"]
    )


def test_a_run_reads_the_bytes_of_its_trace(tmp_path: Path) -> None:
    """Weights of ROM and the cache, of every stage, for two users whose tokens pass alone."""
    done = record("hc1", tmp_path, 2)
    for stage in (0, 17, 32):
        for counter in ("weight_bytes", "kv_read_bytes", "kv_write_bytes", "macs"):
            operators = operators_of(done.parts, stage)
            wanted = sum(getattr(operator, counter) * n for operator, n in operators) * done.micro_batches
            assert placed_sum(done, stage, counter) == wanted
