"""Sweep documents: what they may say, and the one line for what they may not."""

from pathlib import Path
from typing import Any

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.document import read_sweep, sweep_from_text
from dieshot.simulator.sweep.points import space_of
from dieshot.simulator.sweep.space import Space

BASE: dict[str, Any] = {"system": "dgx-h100", "model": "llama-3-8b"}
MINIMAL = """\
system: dgx-h100
model: llama-3-8b
batch: {from: 1, to: 300}
prompt: 128
generate: 4
"""


def space(**more: Any) -> Space:
    return space_of(read_sweep(BASE | more))


def column(found: Space, name: str) -> list[Any]:
    return [found.values(index)[name] for index in range(len(found))]


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(InputError) as refused:
        space_of(sweep_from_text(f"system: dgx-h100\nmodel: llama-3-8b\n{text}", folder, "s.yaml"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_smallest_document_is_three_hundred_runs(tmp_path: Path) -> None:
    file = tmp_path / "batches.yaml"
    file.write_text(MINIMAL)
    document = read_sweep(file)
    found = space_of(document)
    assert document.name == "batches" and len(found) == 300
    assert column(found, "batch") == list(range(1, 301))
    assert found.request(299).command == "dieshot run dgx-h100 llama-3-8b --batch 300 --prompt 128 --generate 4"
    again = space_of(sweep_from_text(document.text, tmp_path))
    assert [again.request(i) for i in range(300)] == [found.request(i) for i in range(300)]


def test_the_last_axis_is_the_fastest() -> None:
    found = space(batch=[1, 2], prompt=[8, 16, 32])
    asked = [(found.request(i).batch, found.request(i).prompt) for i in range(6)]
    assert asked == [(1, 8), (1, 16), (1, 32), (2, 8), (2, 16), (2, 32)]


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (5, [5]),
        ([3, 1, 2], [3, 1, 2]),
        ({"from": 2, "to": 4}, [2, 3, 4]),
        ({"from": 1, "to": 10, "step": 4}, [1, 5, 9]),
        ({"from": 1, "to": 256, "number": 5, "scale": "log"}, [1, 4, 16, 64, 256]),
        ({"from": 1, "to": 8, "number": 3}, [1, 4, 8]),
        ({"from": 7, "to": 7}, [7]),
        (4.0, [4]),
    ],
)
def test_values_of_a_field(written: Any, values: list[int]) -> None:
    found = column(space(batch=written), "batch")
    assert found == values and all(type(value) is int for value in found)


@pytest.mark.parametrize(
    ("written", "values", "texts"),
    [
        ("9.2Gbit/s", [9.2], ["9.2Gbit/s"]),
        ("*1.5", [1.5], ["*1.5"]),
        (["/2", "*2"], [0.5, 2], ["/2", "*2"]),
        ([None, "6 Gbit/s"], [None, 6], [None, "6 Gbit/s"]),
        ({"values": [3, 5.5], "unit": "Gbit/s"}, [3, 5.5], ["3Gbit/s", "5.5Gbit/s"]),
        ({"factor": [0.5, 1]}, [0.5, 1], ["*0.5", "*1"]),
        ({"factor": {"from": 1, "to": 4, "number": 3, "scale": "log"}}, [1, 2.0, 4], ["*1", "*2.0", "*4"]),
        (
            {"from": 3, "to": 9, "number": 4, "unit": "Gbit/s"},
            [3, 5, 7, 9],
            ["3Gbit/s", "5Gbit/s", "7Gbit/s", "9Gbit/s"],
        ),
        (
            {"from": 0.1, "to": 0.3, "step": 0.1, "unit": "Gbit/s"},
            [0.1, 0.2, 0.3],
            ["0.1Gbit/s", "0.2Gbit/s", "0.3Gbit/s"],
        ),
    ],
)
def test_values_of_a_parameter(written: Any, values: list[Any], texts: list[str | None]) -> None:
    found = space(set={"hbm.pin_rate": written})
    assert column(found, "chip.hbm.pin_rate") == values
    expected = [() if text is None else (f"chip.hbm.pin_rate={text}",) for text in texts]
    assert [found.request(i).sets for i in range(len(found))] == expected


def test_a_parameters_own_range_is_the_documents() -> None:
    found = space(set={"chip.sm.resident_ctas": {"range": "own", "number": 4}})
    assert column(found, "chip.sm.resident_ctas") == [4, 8, 12, 16]
    whole = space(set={"chip.sm.resident_ctas": "own"})
    assert column(whole, "chip.sm.resident_ctas") == list(range(4, 17))
    with_unit = space(set={"chip.sm.ingress_bandwidth": {"range": "own", "number": 2}})
    assert with_unit.request(1).sets == ("chip.sm.ingress_bandwidth=64B/cycle",)
    assert with_unit.units == {"chip.sm.ingress_bandwidth": "B/cycle"}


def test_values_that_go_together() -> None:
    found = space(together=[{"tp": 8, "pp": 1}, {"tp": 4, "pp": 2, "set": {"chip.hbm.pin_rate": "*2"}}], batch=[1, 2])
    asked = [found.request(i) for i in range(4)]
    assert [(each.tensor_parallel, each.pipeline_parallel, each.batch) for each in asked] == [
        (8, 1, 1), (8, 1, 2), (4, 2, 1), (4, 2, 2),
    ]  # fmt: skip
    assert [each.sets for each in asked] == [(), (), ("chip.hbm.pin_rate=*2",), ("chip.hbm.pin_rate=*2",)]
    assert column(found, "chip.hbm.pin_rate") == [None, None, 2, 2]
    groups = space(together=[[{"tp": 8, "pp": 1}, {"tp": 4, "pp": 2}], [{"batch": 1, "prompt": 8}]])
    assert len(groups) == 2 and groups.request(1).pipeline_parallel == 2 and groups.request(1).prompt == 8


def test_points_leave_out_what_is_as_usual() -> None:
    found = space(points=[{"batch": 4, "prompt": 16}, {"generate": 0}])
    assert [(found.request(i).batch, found.request(i).prompt, found.request(i).generate) for i in (0, 1)] == [
        (4, 16, 128), (1, 1024, 0),
    ]  # fmt: skip


def test_method_list_takes_the_nth_of_all() -> None:
    found = space(method="list", batch=[1, 2, 3], prompt=[8, 16, 32], generate=2)
    assert [(found.request(i).batch, found.request(i).prompt) for i in range(3)] == [(1, 8), (2, 16), (3, 32)]


def test_links_by_name_are_words_and_none_is_the_systems_own() -> None:
    found = space(set={"fabric": [None, "photonic-fabric"]}, precision=[None, "bf16"])
    assert column(found, "fabric") == [None, None, "photonic-fabric", "photonic-fabric"]
    assert found.request(3).sets == ("fabric=photonic-fabric",) and found.request(3).precision == "bf16"


def test_paths_start_from_the_documents_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: dgx-h100\nname: mine\n")
    text = "system: ./mine.yaml\nmodel: llama-3-8b\n"
    found = space_of(sweep_from_text(text, tmp_path, "s.yaml"))
    assert found.request(0).system == str(tmp_path / "mine.yaml")
    (tmp_path / "links.yaml").write_text("extends: photonic-fabric\nname: mine\n")
    links = space_of(sweep_from_text(f"{text}set: {{fabric: links.yaml}}\n", tmp_path, "s.yaml"))
    assert links.request(0).sets == (f"fabric={tmp_path / 'links.yaml'}",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bach: 3", "s.yaml:3: bach: unknown key; expected a field of a run, set, points, together, or how to go about "
         "it; did you mean 'batch'?"),
        ("batch: []", "s.yaml:3: batch: no values; expected at least one"),
        ("batch: {from: 3, to: 1}", "s.yaml:3: batch: upside down; expected from at most to, which is 1; got 3"),
        ("batch: {from: 0, to: 1}", "s.yaml:3: batch: out of bounds; expected a whole number of at least 1; got 0"),
        ("batch: {from: 1, too: 2}", "s.yaml:3: batch.too: unknown key; expected a mapping with from, number, scale, "
         "step, to, unit; did you mean 'to'?"),
        ("batch: {from: 1, to: 2, step: 0}", "s.yaml:3: batch: not a step; expected a number above 0; got 0"),
        ("batch: {from: 1, to: 8, step: 2, number: 3}", "s.yaml:3: batch: a step and a number of values; expected "
         "step: alone, or number: and scale:"),
        ("batch: 1.5", "s.yaml:3: batch: out of bounds; expected a whole number of at least 1; got 1.5"),
        ("batch: {from: 1, to: 1000000}\nprompt: {from: 1, to: 101}", "s.yaml: 101000000 points; expected at most "
         "100000000"),
        ("precision: fp9", "s.yaml:3: precision: unknown name; expected one of bf16, fp16, fp8, int8, w8a16, w4a8, "
         "mxint4, mxint8, mxint16, abfp16; got 'fp9'; did you mean 'fp8'?"),
        ("routing: [balanced, powerlaw]", "s.yaml:3: routing: unknown name; expected one of balanced, power_law; got "
         "'powerlaw'; did you mean 'power_law'?"),
        ("set: {chip.hbm.pin_rat: '*2'}", "s.yaml:3: set.chip.hbm.pin_rat: unknown parameter of "
         "configs/chips/h100-sxm.yaml; expected a parameter's path; did you mean 'chip.hbm.pin_rate'?"),
        ("set: {chip.hbm.pin_rate: {from: 3, to: 9, number: 7, unit: GiB}}", "s.yaml:3: set.chip.hbm.pin_rate: wrong "
         "dimension; expected a bit rate such as 'Gbit/s'; got 'GiB'"),
        ("set: {chip.hbm.pin_rate: [3, 4]}", "s.yaml:3: set.chip.hbm.pin_rate: a number without unit; expected a bit "
         "rate such as '4Gbit/s'; got '3'"),
        ("set: {chip.hbm.pin_rate: [3Gbit/s, '*2']}", "s.yaml:3: set.chip.hbm.pin_rate: values of different kinds; "
         "expected the same unit for all, or factors only"),
        ("set: {chip.hbm.pin_rate: {from: 3, to: 9, unit: Gbit/s}}", "s.yaml:3: set.chip.hbm.pin_rate: neither a step "
         "nor a number of values; expected step: or number: beside from and to"),
        ("set: {chip.l2.capacity: own}", "s.yaml:3: set.chip.l2.capacity: no range of its own in "
         "configs/chips/h100-sxm.yaml; expected {from: LOW, to: HIGH, unit: UNIT}"),
        ("set: {chip.hbm.pin_rate: {factor: [1, 0]}}", "s.yaml:3: set.chip.hbm.pin_rate: not a factor; expected a "
         "number above 0; got 0"),
        ("set: {hbm.pin_rate: '*2', chip.hbm.pin_rate: '*3'}", "s.yaml:3: set.chip.hbm.pin_rate: set "
         "chip.hbm.pin_rate is given twice; expected each once"),
        ("tp: 8\ntensor_parallel: 4", "s.yaml:4: tensor_parallel: given twice, also as 'tp'; expected each key once"),
        ("batch: 1\npoints: [{batch: 2}]", "s.yaml:4: points: batch is given twice; expected each once"),
        ("points: [{batch: 2}, {bath: 2}]", "s.yaml:3: points[1].bath: unknown key; expected one of system, model, "
         "batch, prompt, generate, cached, precision, kv_precision, tensor_parallel, pipeline_parallel, "
         "prefill_chunk, micro_batches, seed, routing, sparsity, density, tp, pp, set; did you mean 'batch'?"),
        ("method: gird", "s.yaml:3: method: of the wrong kind; expected 'grid', 'list', 'random', 'latin_hypercube', "
         "'search' or 'sensitivity'; got 'gird'; did you mean 'grid'?"),
        ("samples: 5", "s.yaml:3: samples: of no use to method grid; expected method: one of random, "
         "latin_hypercube, sensitivity"),
        ("method: random", "s.yaml: samples: missing key; expected samples: method random needs it"),
        ("method: random\nsamples: 5\nseed: [1, 2]", "s.yaml:5: seed: not the seed of random; expected one whole "
         "number of at least 0: points and runs are drawn from it; got a list"),
        ("method: list\nbatch: [1, 2, 3]\nprompt: [1, 2]", "s.yaml:3: method: 2 values of prompt; expected 3 as of the "
         "others, or one"),
        ("objectives: [{minimise: energy_per_token_j}]", "s.yaml:3: objectives[0].minimise: unknown key; expected one "
         "of minimize, maximize; did you mean 'minimize'?"),
        ("objectives: [{minimize: energy_per_token}]", "s.yaml:3: objectives[0].minimize: unknown figure "
         "'energy_per_token'; expected a figure such as time_per_output_token_s, tokens_per_s_user or "
         "energy_per_token_j; did you mean 'energy_per_token_j'?"),
        ("constraints: [{figure: cycles}]", "s.yaml:3: constraints[0]: no bound; expected at_least: or at_most: "
         "NUMBER"),
        ("plot: {x: bach, y: cycles}", "s.yaml:3: plot.x: no such column; expected a figure, a field or a parameter of "
         "the sweep; got 'bach'; did you mean 'batch'?"),
        ("plot: {x: batch}", "s.yaml:3: plot.y: missing key"),
        ("name: a/b", "s.yaml:3: name: not a name; expected letters, digits, '-', '_', '.' or '+'; got 'a/b'"),
        ("batch: 1e3", "s.yaml:3: batch: YAML reads this number as text; expected a mantissa with a point and an "
         "exponent with a sign, such as 1.0e+9, or quotes; got '1e3'"),
        ("batch: 1\nbatch: 2", "s.yaml:4: batch: key given twice; expected each key once"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path) == says


def test_names_and_what_is_missing_are_told(tmp_path: Path) -> None:
    for text, says in (
        ("system: dgx-h10\nmodel: llama-3-8b", "did you mean 'dgx-h100'?"),
        ("system: dgx-h100\nmodel: [llama-3-8b, llama-3-8]", "did you mean 'llama-3-8b'?"),
        ("system: dgx-h100", "s.yaml: model: missing key; expected model: a name, or a list of names"),
        ("system: ./none.yaml\nmodel: llama-3-8b", f"got '{str(tmp_path / 'none.yaml')[:70]}"),
        ("system: h100-sxm\nmodel: llama-3-8b\nset: {fabric.hop_latency: '*2'}", "the system h100-sxm has no fabric"),
        ("system: [dgx-h100, tpu-v5e-1]\nmodel: llama-3-8b\nset: {chip.sm.count: 66}", "of configs/chips/tpu-v5e.yaml"),
        ("system: dgx-h100\nmodel: llama-3-8b\nset: {fabric: photonic-fabrik}", "did you mean 'photonic-fabric'?"),
    ):
        with pytest.raises(InputError) as refused:
            space_of(sweep_from_text(text, tmp_path, "s.yaml"))
        assert says in str(refused.value) and str(refused.value).startswith("s.yaml")


def test_what_only_some_systems_refuse_is_a_run_that_fails() -> None:
    assert len(space(batch=[1, 10**6])) == 2  # far too large for its memory
    assert len(space(tp=[8, 7])) == 2  # seven ways do not divide the model
