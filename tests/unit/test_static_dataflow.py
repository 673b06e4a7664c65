"""Statically scheduled chips: what a run of one shows, what two runs share, what is refused and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from static_programs import GROUP, layer, link, lpu, lpu_machine, programs

from dieshot.chips.mapping.static.compile import Compiler
from dieshot.chips.mapping.static.resource import Choice, Need, Resources
from dieshot.chips.parameters.static_dataflow import check_feasible, n_queues
from dieshot.chips.parts.static.die import run_program
from dieshot.chips.static_dataflow import StaticDataflow
from dieshot.simulator.cli.main import main
from dieshot.simulator.engine.chip import InfeasibleError, UnsupportedError
from dieshot.simulator.studies.run import run
from dieshot.traces import Operator
from dieshot.traces.make import make_operator
from dieshot.traces.trace import Block
from dieshot.traces.work import Formats

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 640,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 1536,
    "vocab_size": 3000,
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def chip(group: int = GROUP, **changes: Any) -> StaticDataflow:
    made = StaticDataflow(replace(lpu(), **changes))
    made.attach(link(), group)
    return made


def llama(tokens: int = 1, kv_len: int = 1100, precision: str = "w8a16", **shape: Any) -> tuple[Operator, ...]:
    """Return a layer of Llama 3 70B on one of 16 chips."""
    return layer(tokens, 8192, 1792, 4, 128, kv_len, precision, GROUP, **shape)


def total_fs(made: StaticDataflow, operators: Any) -> int:
    return sum(outcome.duration_fs for outcome in made.carry_out_all(operators, made.initial_state))


def gate_up_cycles(made: StaticDataflow, precision: str, tokens: int = 1) -> int:
    (gemm,) = (each for each in llama(tokens, precision=precision) if each.name == "gate_up_proj")
    return total_fs(made, (gemm,)) // made.machine.period_fs


def test_the_queues_are_those_of_the_chip() -> None:
    assert n_queues(lpu()) <= lpu().instruction_queues == 144


@pytest.mark.parametrize(("precision", "weights_a_cycle"), [("int8", 20480), ("fp16", 10240), ("w8a16", 16 * 320)])
def test_weights_reach_the_planes_no_faster_than_streams_or_conversion_let_them(
    precision: str, weights_a_cycle: int
) -> None:
    least = 2 * 1792 * 8192 // weights_a_cycle
    assert least <= gate_up_cycles(chip(), precision) <= 1.15 * least + 300


def test_planes_that_take_narrow_weights_are_fed_four_times_as_fast() -> None:
    direct = chip(vxm=replace(lpu().vxm, weight_conversion="mxm"))
    assert 3 < gate_up_cycles(chip(), "w8a16") / gate_up_cycles(direct, "w8a16") < 4


@pytest.mark.parametrize(("precision", "macs_a_cycle"), [("int8", 409600), ("fp16", 102400)])
def test_many_tokens_are_bound_by_the_planes(precision: str, macs_a_cycle: int) -> None:
    least = 128 * 2 * 1792 * 8192 // macs_a_cycle
    assert least <= gate_up_cycles(chip(), precision, 128) <= 1.25 * least


def test_an_all_reduce_takes_its_hops_and_the_vectors_on_each_link() -> None:
    made = chip()
    (operator,) = (each for each in llama() if each.name == "o_proj_all_reduce")
    timing, share = made.machine.link, 4  # of 26 vectors over 8 chips, two bytes each
    assert timing is not None
    least = 3 * timing.flight + 2 * 2 * share * timing.interval
    assert least <= total_fs(made, (operator,)) // made.machine.period_fs <= 1.5 * least


def test_faster_links_and_nothing_else_shorten_the_exchange() -> None:
    slow, fast = chip(), StaticDataflow(lpu())
    fast.attach(replace(link(), rate=2 * link().rate, hop_latency=link().hop_latency // 2), GROUP)
    before, after = ([each.duration_fs for each in made.carry_out_all(llama(), "quiet")] for made in (slow, fast))
    for operator, old, new in zip(llama(), before, after, strict=True):
        if operator.kind == "all_reduce":
            assert new < 0.7 * old
        else:
            assert new == pytest.approx(old, rel=0.1)


def test_operators_share_a_program_and_add_up_to_it() -> None:
    made = chip()
    ((_, program),) = Compiler(made.machine).pieces(llama())
    outcomes = made.carry_out_all(llama(), made.initial_state)
    assert sum(each.duration_fs for each in outcomes) == program.cycles * made.machine.period_fs
    whole = run_program(made.machine, program)
    amounts = [int((cell.activity.amount * cell.activity.repeat).sum()) for each in outcomes for cell in each.cells]
    assert sum(amounts) == int((whole.activity.amount * whole.activity.repeat).sum())


def test_the_log_holds_what_the_program_did() -> None:
    machine = lpu_machine()
    (program,) = programs(machine, llama())
    outcome = run_program(machine, program)
    kinds = np.array([spec.kind for spec in StaticDataflow(lpu()).components()])
    work = outcome.activity.amount * outcome.activity.repeat
    counted = {name: sum(each[name] for each in outcome.counters) for name in outcome.counters[0]}
    of_kind = {kind: int(work[kinds[outcome.activity.component] == kind].sum()) for kind in set(kinds)}
    assert of_kind["tensor"] == counted["macs_issued"]
    assert of_kind["sram"] == counted["sram_read_bytes"] + counted["sram_write_bytes"]
    assert of_kind["install"] == counted["installed_bytes"]
    weights = sum(each.weight_bytes for each in llama() if each.kind == "gemm")
    assert weights <= counted["sram_read_bytes"] <= 1.15 * weights
    assert of_kind["tensor"] >= sum(each.macs for each in llama())


def test_keys_of_one_tile_more_are_another_program_and_up_to_then_the_same_cells() -> None:
    made = chip()
    cells = {n: [each.cells for each in made.carry_out_all(llama(kv_len=n), "quiet")] for n in (1000, 1280, 1281)}
    assert all(one[0] is other[0] for one, other in zip(cells[1000], cells[1280], strict=True))
    assert cells[1281][3] != cells[1280][3]


def test_a_prompt_passes_in_pieces_that_see_ever_more_keys() -> None:
    made = chip()
    prompt = layer(400, 1280, 320, 4, 64, 1, "w8a16", GROUP, 400)
    pieces = made.compiler.pieces(prompt)
    assert sum(piece.tokens for piece, _ in pieces) == 400
    assert pieces[0][0].key_tiles < pieces[-1][0].key_tiles
    assert [piece.key_tiles for piece, _ in pieces] == sorted(piece.key_tiles for piece, _ in pieces)
    assert len({len(each.cells) for each in made.carry_out_all(prompt, "quiet")}) == 1


def test_running_twice_gives_the_same_cells() -> None:
    first, second = (chip().carry_out_all(llama(), "quiet") for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one.cells, other.cells, strict=True):
            assert (a.duration_fs, a.counters, a.fj_per_amount) == (b.duration_fs, b.counters, b.fj_per_amount)
            columns = ((getattr(a.activity, name), getattr(b.activity, name)) for name in a.activity.__slots__)
            assert all((x == y).all() for x, y in columns)


def experts(tokens: int, n_experts: int, top_k: int) -> tuple[Operator, ...]:
    """Return the feed-forward of a mixture of experts on one of 16 chips."""
    carrier, gemm = Formats("bf16", "bf16", "bf16"), Formats("bf16", "int8", "bf16")
    plain = Formats("bf16", None, "bf16")
    rows, hidden, ffn = tokens * top_k, 1280, 320
    counts = (rows, *(0,) * (n_experts - 1))
    router = make_operator("router", "gemm", {"M": tokens, "N": n_experts, "K": hidden, "bias": 0}, carrier, "x")
    dims = {"tokens": tokens, "experts": n_experts, "top_k": top_k, "hidden": hidden}
    sent = {"router": 2 * tokens * n_experts, "x": 2 * tokens * hidden}
    route = make_operator("route", "route", dims, plain, sent)
    grouped = {"M": rows, "N": 2 * ffn, "K": hidden, "experts": n_experts}
    up = make_operator("up", "grouped_gemm", grouped, gemm, "route", group_rows=counts)
    act = make_operator("act", "activation", {"tokens": rows, "ffn": ffn, "gated": 1}, plain, "up")
    down = make_operator("down", "grouped_gemm", {**grouped, "N": hidden, "K": ffn}, gemm, "act", group_rows=counts)
    dims = {"tokens": tokens, "hidden": hidden, "top_k": top_k}
    combine = make_operator("combine", "moe_combine", dims, plain, {"down": 2 * rows * hidden, "route": 8 * rows})
    return router, route, up, act, down, combine


@pytest.mark.parametrize(("tokens", "loaded"), [(1, 2), (3, 6), (20, 8)])
def test_as_many_experts_are_loaded_as_tokens_may_want_and_all_tokens_pass_each(tokens: int, loaded: int) -> None:
    outcomes = chip().carry_out_all(experts(tokens, 8, 2), "quiet")
    up = outcomes[2].cells[0].counters
    assert up["installed_bytes"] == 2 * loaded * 640 * 1280  # two bytes a weight in the planes
    assert up["macs_issued"] == loaded * tokens * 640 * 1280


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> str:
    path: Path = tmp_path_factory.mktemp("model") / "config.json"
    path.write_text(json.dumps(MODEL))
    return str(path)


def test_a_run_stalls_nowhere_and_its_power_lies_between_idle_and_published(model: str, tmp_path: Path) -> None:
    done = run("groq-8", model, prompt=200, generate=4, output=tmp_path / "run.h5")
    assert set(done.summary["stall_fractions"]) <= {"idle"}
    assert done.summary["precision"] == "w8a16"
    power = done.summary["average_power_w"] / 8
    assert lpu().power.idle / 1000 < power < lpu().power.tdp / 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["groq-8", "llama-3-70b"], "does not fit on groq-8, 7"),
        (["groq-8", "MODEL", "--precision", "fp8"], "lpu-v1 has no matrix plane for fp8 (operator qkv_proj); it"),
        (
            ["groq-8", "MODEL", "--kv-precision", "fp8"],
            "lpu-v1 cannot keep a KV cache in fp8 (operator rope",
        ),
        (["groq-8", "bert-base-uncased", "--tp", "4", "--prompt", "9", "--generate", "0"], "no schedule for LayerNorm"),
        (["groq-8", "MODEL", "--set", "chip.c2c.stage_links=3"], "c2c.stage_links: cannot be with the other"),
        (["groq-8", "MODEL", "--set", "chip.mem.read_latency=-1cycle"], "mem.read_latency"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], words: str, model: str, capsys: Any) -> None:
    assert main(["run", *(model if each == "MODEL" else each for each in arguments)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("memory", {"memory": lpu().memory + 320}),
        ("mem.banks", {"mem": replace(lpu().mem, banks=3)}),
        ("mem.activation_slices", {"mem": replace(lpu().mem, activation_slices=15)}),
        ("vxm.alus", {"vxm": replace(lpu().vxm, alus=8)}),
        ("sxm.units", {"sxm": replace(lpu().sxm, units=1)}),
        ("instruction_queues", {"instruction_queues": n_queues(lpu()) - 1}),
        ("c2c.local_links", {"c2c": replace(lpu().c2c, local_links=6)}),
    ],
)
def test_parameters_that_cannot_be_together_name_the_one(key: str, changes: Any) -> None:
    check_feasible(lpu())
    with pytest.raises(InfeasibleError, match=f"^{key}: "):
        check_feasible(replace(lpu(), **changes))


@pytest.mark.parametrize(("layers", "fits"), [(3, True), (5, False)])
def test_layers_fit_with_their_padding_or_are_refused(layers: int, fits: bool) -> None:
    made = chip()
    step = SimpleNamespace(blocks=(Block("layers", layers, llama()),))
    if fits:
        made.prepare([[step]], 1)
    else:
        with pytest.raises(UnsupportedError, match=r"cannot lay out stage 0: 2\d\d\.\d MB in vectors of 320 lanes"):
            made.prepare([[step]], 1)


@pytest.mark.parametrize(("links", "fits"), [(1, True), (2, False)])
def test_links_to_other_nodes_and_stages_are_no_more_than_there_are(links: int, fits: bool) -> None:
    made = chip(c2c=replace(lpu().c2c, stage_links=links))
    send = make_operator("send", "send_recv", {"elements": 640}, Formats("bf16", None, "bf16"), {"x": 1280})
    if fits:
        assert total_fs(made, (send,)) > 0
    else:
        with pytest.raises(UnsupportedError, match="4 global links; stages of 2 nodes with 2 links from"):
            total_fs(made, (send,))


def test_a_group_that_links_cannot_join_is_refused() -> None:
    made = chip(64)
    with pytest.raises(UnsupportedError, match="up to 5 nodes for a collective, not 64 chips"):
        made.carry_out_all(layer(1, 640, 320, 1, 64, 10, "w8a16", 64), "quiet")


@pytest.mark.parametrize(("n", "at"), [(5, 0), (6, 30)])
def test_a_run_fits_before_what_is_taken_or_comes_after(n: int, at: int) -> None:
    resources = Resources()
    resources.place(5, [Need("port", 0, 10)])
    resources.place(20, [Need("port", 0, 3, 5)])  # cycles 20, 25, 30: the first gap of six is behind them
    assert resources.place(0, [Need("port", 0, n)])[0] == (at if n == 5 else 31)


def test_choices_of_one_template_do_not_pick_the_same() -> None:
    members = [((i,),)[0] for i in range(4)]
    _, picks = Resources().place(0, [], [Choice(members, 2, 0, 4), Choice(members, 1, 3, 1), Choice(members, 2, 4, 1)])
    assert picks == [[0, 1], [2], [0, 1]]
