"""Resolving documents: values in base units, records, canonical text, what was read, and every refusal."""

import copy
import dataclasses
import pickle
from typing import Literal

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import (
    BitRate,
    ByteRate,
    Bytes,
    Choice,
    Count,
    FemtojoulesPerBit,
    Femtoseconds,
    Number,
    OpsPerCycle,
    Ratio,
    Resolved,
    Schema,
    Text,
    document_from_text,
    resolve,
)
from dieshot.simulator.params.schema import schema_fields


class Hbm(Schema):
    n_stacks: Count
    pin_rate: BitRate
    bandwidth: ByteRate
    capacity: Bytes
    latency: Femtoseconds
    efficiency: Ratio
    energy: FemtojoulesPerBit | None = None

    @property
    def refill_fs(self) -> int:
        return self.latency * 2


class Cache(Schema):
    policy: Choice[Literal["lru", "random"]]


class Chip(Schema):
    architecture: str
    name: str
    clustered: bool = False
    n_parts: int = 1
    mode: Literal["fast", "slow"] = "fast"
    remark: Text | None = None
    offset: Number | None = None
    hbm: Hbm
    cache: Cache | None = None
    mac_rate: dict[str, OpsPerCycle]
    caches: dict[str, Cache] | None = None


DOCUMENT = """\
architecture: gpu
name: toy
sources: {own: {title: "Own bench"}}
hbm:
  n_stacks: {value: 5, unit: "1", kind: published, source: own}
  pin_rate: {value: "bandwidth * 8 / (hbm.n_stacks * 1024)", unit: bit/s, kind: derived}
  bandwidth: {value: 3350, unit: GB/s, kind: measured, source: [own, h100wp], at: "table 1"}
  capacity: {value: 80, unit: GB, kind: published, source: own}
  latency: {value: 300.5, unit: ns, kind: assumed, range: [200, 400], why: "between two reports"}
  efficiency: {value: 90, unit: "%", kind: fitted, source: own, data: "own.csv", residual: "2 %"}
mac_rate:
  bf16: {value: 1024, unit: MAC/cycle, kind: published, source: own}
"""


def resolved(text: str = DOCUMENT) -> Resolved[Chip]:
    return resolve(document_from_text(text, "toy.yaml"), Chip)


def refusal(old: str, new: str) -> str:
    assert DOCUMENT.count(old) >= 1
    with pytest.raises(InputError) as refused:
        resolved(DOCUMENT.replace(old, new, 1))
    message = str(refused.value)
    assert "\n" not in message and message.startswith("toy.yaml:")
    return message.removeprefix("toy.yaml:")


def test_values_are_plain_numbers_in_base_units() -> None:
    hbm = resolved().values.hbm
    assert (hbm.n_stacks, hbm.pin_rate, hbm.bandwidth, hbm.capacity) == (5, 5_234_375_000, 3_350 * 10**9, 80 * 10**9)
    assert (hbm.latency, hbm.efficiency, hbm.energy) == (300_500_000, 0.9, None)
    assert all(type(number) is int for number in (hbm.n_stacks, hbm.pin_rate, hbm.capacity, hbm.latency))
    assert type(hbm.efficiency) is float
    assert isinstance(hbm, Hbm) and hbm.refill_fs == 601_000_000


def test_optional_parts_and_plain_values() -> None:
    chip = resolved().values
    assert (chip.cache, chip.clustered, chip.n_parts, chip.mode, chip.remark) == (None, False, 1, "fast", None)
    chip = resolved(
        DOCUMENT + "clustered: true\nn_parts: 2\nmode: slow\n"
        "remark: {value: 'as sold', kind: published, source: own}\n"
        "offset: {value: -2.5, unit: 1, kind: published, source: own}\n"
        "cache: {policy: {value: lru, kind: assumed, why: 'usual'}}\n"
        "caches: {l1: {policy: {value: random, kind: assumed, why: 'usual'}}}\n"
    ).values
    assert (chip.clustered, chip.n_parts, chip.mode, chip.remark, chip.offset) == (True, 2, "slow", "as sold", -2.5)
    assert chip.cache is not None and chip.cache.policy == "lru"
    assert chip.caches is not None and chip.caches["l1"].policy == "random"


def test_values_cannot_be_changed() -> None:
    chip = resolved().values
    with pytest.raises(AttributeError):
        chip.hbm.capacity = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        chip.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="read-only"):
        chip.mac_rate["bf16"] = 1


def test_records_say_everything_about_a_parameter() -> None:
    result = resolved()
    assert [record.path for record in result.records][:3] == ["hbm.n_stacks", "hbm.pin_rate", "hbm.bandwidth"]
    bandwidth = result.record("hbm.bandwidth")
    assert (bandwidth.value, bandwidth.unit, bandwidth.written) == (3_350 * 10**9, "B/s", "3350 GB/s")
    assert (bandwidth.kind, bandwidth.source, bandwidth.at) == ("measured", "own, h100wp", "table 1")
    assert bandwidth.source_title == "Own bench; NVIDIA H100 Tensor Core GPU Architecture, white paper"
    latency = result.record("hbm.latency")
    assert (latency.range, latency.why, latency.overridden) == ((2e8, 4e8), "between two reports", False)
    derived = result.record("hbm.pin_rate")
    assert derived.formula == "bandwidth * 8 / (hbm.n_stacks * 1024)"
    assert derived.inputs == ("hbm.bandwidth", "hbm.n_stacks")
    fitted = result.record("hbm.efficiency")
    assert (fitted.data, fitted.residual, fitted.unit) == ("own.csv", "2 %", "1")
    assert result.record("mac_rate.bf16").unit == "MAC/cycle"
    with pytest.raises(InputError) as refused:
        result.record("hbm.latenc")
    assert str(refused.value) == "toy.yaml: hbm.latenc: unknown parameter; did you mean 'hbm.latency'?"


def test_text_resolves_to_the_same_by_itself() -> None:
    first = resolved()
    again = resolve(document_from_text(first.text, "copy"), Chip)
    assert again.values == first.values and again.records == first.records and again.text == first.text
    assert "Own bench" in first.text and "white paper" in first.text
    reordered = DOCUMENT.replace("architecture: gpu\nname: toy\n", "") + "name: toy\narchitecture: gpu\n"
    assert resolved(reordered).text == first.text


def test_text_holds_one_leaf_a_line() -> None:
    line = next(line for line in resolved().text.splitlines() if "latency" in line)
    assert line == (
        '  latency: {value: 300.5, unit: "ns", kind: "assumed", why: "between two reports", range: [200, 400]}'
    )


def test_reads_are_tracked_by_path() -> None:
    result = resolved()
    hbm = result.values.hbm
    assert result.read == set()
    assert hbm.capacity and result.values.mac_rate["bf16"]
    assert result.read == {"hbm.capacity", "mac_rate.bf16"}
    assert result.values.mac_rate.get("fp8") is None and "fp8" not in result.values.mac_rate
    assert hbm.energy is None and result.values.name == "toy"
    assert "hbm.latency" not in result.read
    assert hbm.refill_fs and "hbm.latency" in result.read


def test_looking_is_not_reading() -> None:
    result = resolved()
    chip = result.values
    assert repr(chip) == repr(pickle.loads(pickle.dumps(chip))) and chip == resolved().values
    assert chip != dataclasses.replace(pickle.loads(pickle.dumps(chip)), name="other")
    assert len(chip.mac_rate) == 1 and list(chip.mac_rate) == ["bf16"] and copy.copy(chip.hbm) == chip.hbm
    assert result.read == set()


def test_reading_a_whole_mapping_reads_its_leaves() -> None:
    for read_all in (lambda m: list(m.values()), lambda m: list(m.items()), dict, lambda m: {**m}):
        result = resolved()
        assert read_all(result.values.mac_rate)
        assert result.read == {"mac_rate.bf16"}


def test_a_changed_copy_is_an_ordinary_instance() -> None:
    chip = resolved().values
    smaller = dataclasses.replace(chip.hbm, capacity=1)
    assert type(smaller) is Hbm and (smaller.capacity, smaller.latency) == (1, chip.hbm.latency)
    assert dataclasses.asdict(chip)["mac_rate"] == {"bf16": 1024}


def test_assumptions_are_reported_when_leaned_on() -> None:
    text = DOCUMENT.replace("  capacity: {value: 80, unit: GB, kind: published, source: own}\n",
                            "  capacity: {value: 'latency / 3005', unit: B, kind: derived}\n")  # fmt: skip
    result = resolved(text)
    assert result.values.hbm.n_stacks == 5 and result.assumed_read() == ()
    assert result.values.hbm.capacity == 100_000
    assert [record.path for record in result.assumed_read()] == ["hbm.latency"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pin_rate:", "pin_rat:", "6: hbm.pin_rat: unknown key; expected one of n_stacks, pin_rate, bandwidth, "
         "capacity, latency, efficiency, energy; did you mean 'pin_rate'?"),
        ("hbm:", "dram:", "4: dram: unknown key; expected one of architecture, name, clustered, n_parts, mode, remark, "
         "offset, hbm, cache, mac_rate, caches"),
        ("name: toy\n", "", " name: missing key; expected a word"),
        ("  n_stacks: {value: 5, unit: \"1\", kind: published, source: own}\n", "",
         "4: hbm.n_stacks: missing key; expected a count: a mapping with value, unit, kind"),
        ("name: toy", "name: 3", "2: name: of the wrong type; expected a word; got 3"),
        ("name: toy", "name: null", "2: name: empty; expected a word; got None"),
        ("name: toy", "name: toy\nn_parts: 0", "3: n_parts: too small; "
         "expected a whole number of at least 1; got 0"),
        ("name: toy", "name: toy\nn_parts: true", "3: n_parts: of the wrong type; "
         "expected a whole number of at least 1; got True"),
        ("name: toy", "name: toy\nmode: fats", "3: mode: unknown choice; expected one of fast, slow; got 'fats'; "
         "did you mean 'fast'?"),
        ("name: toy", "name: toy\ncache: 3", "3: cache: not a section; expected a section with one of policy; got 3"),
        ("{value: 5, unit: \"1\", kind: published, source: own}", "5",
         "5: hbm.n_stacks: a bare value; expected a mapping with value, unit, kind; got 5"),
        ("{value: 80, unit: GB, kind: published, source: own}", "80 GB",
         "8: hbm.capacity: a bare value; expected a mapping with value, unit, kind; got '80 GB'"),
        ("mac_rate:\n  bf16: {value: 1024, unit: MAC/cycle, kind: published, source: own}", "mac_rate: 4",
         "11: mac_rate: not a mapping; expected name: an operation rate: a mapping with value, unit, kind"),
        ("80, unit: GB,", "80, unti: GB,", "8: hbm.capacity: unknown key 'unti'; expected one of value, unit, kind, "
         "source, at, why, range, data, residual, note; did you mean 'unit'?"),
        ("80, unit: GB,", "80,", "8: hbm.capacity: unit is missing; expected a capacity with a unit such as 'GiB'"),
        ("80, unit: GB", "80, unit: ns", "8: hbm.capacity: wrong dimension; expected a capacity such as 'GiB'; "
         "got 'ns'"),
        ("80, unit: GB", "80, unit: Gb", "8: hbm.capacity: b may be read as bit or byte; "
         "expected 'bit' or 'B' in its place; got 'Gb'"),
        ("80, unit: GB", "80, unit: 3", "8: hbm.capacity: unit is of the wrong type; "
         "expected a unit in words such as 'ns', or '1'; got 3"),
        ("value: 80,", "", "8: hbm.capacity: value is missing; expected a mapping with value, unit, kind"),
        ("value: 80", "value: '80'", "8: hbm.capacity: text where a number is due; "
         "expected a number without quotes; got '80'"),
        ("value: 80", "value: true", "8: hbm.capacity: a truth value; expected a number, or words in quotes; "
         "got True"),
        ("value: 80", "value: [80]", "8: hbm.capacity: value is of the wrong type; expected a number or words; "
         "got a list"),
        ("value: 80", "value: .nan", "8: hbm.capacity: not finite; expected a finite number; got nan"),
        ("value: 80", "value: -.inf", "8: hbm.capacity: not finite; expected a finite number; got -inf"),
        ("value: 80", "value: 0", "8: hbm.capacity: too small; expected a capacity greater than 0; got 0"),
        ("value: 80", "value: -80", "8: hbm.capacity: too small; expected a capacity greater than 0; got -80"),
        ("value: 80", "value: 1.0e+12", "8: hbm.capacity: too large; expected a capacity below 2**63 B; "
         "got 1000000000000.0"),
        ("value: 90", "value: 101", "10: hbm.efficiency: too large; expected a ratio of at most 1; got 101"),
        ("value: 5,", "value: 5.5,", "5: hbm.n_stacks: not a whole number; "
         "expected a count, a whole number of ones; got 5.5"),
        ("value: 80, unit: GB", "value: 0.3, unit: B", "8: hbm.capacity: not a whole number; "
         "expected a capacity, a whole number of B; got 0.3"),
        ("kind: published", "kind: publishd", "5: hbm.n_stacks: unknown kind; expected one of published, measured, "
         "derived, fitted, assumed; got 'publishd'; did you mean 'published'?"),
        ("published, source: own", "published", "5: hbm.n_stacks: source is missing; "
         "expected source: a value of kind published must have it"),
        ("published, source: own", "published, source: ''", "5: hbm.n_stacks: source is missing; "
         "expected source: a value of kind published must have it"),
        ("published, source: own", "published, source: h100w", "5: hbm.n_stacks: unknown source 'h100w'; "
         "expected an id of configs/sources.yaml or of the document's own sources; did you mean 'h100wp'?"),
        (", why: \"between two reports\"", "", "9: hbm.latency: why is missing; "
         "expected why: a value of kind assumed must have it"),
        ("range: [200, 400], ", "", "9: hbm.latency: range is missing; "
         "expected range: [low, high]: an assumption must say how wide it is"),
        ("[200, 400]", "[400, 200]", "9: hbm.latency: range upside down; expected range: [low, high]; "
         "got '[400, 200]'"),
        ("[200, 400]", "[301, 400]", "9: hbm.latency: outside its own range; "
         "expected a value within its range [301, 400]; got 300.5"),
        ("[200, 400]", "[200, x]", "9: hbm.latency: range is of the wrong type; "
         "expected a list [low, high] of two numbers; got a list"),
        (", data: \"own.csv\"", "", "10: hbm.efficiency: data is missing; "
         "expected data: a value of kind fitted must have it"),
        (", residual: \"2 %\"", "", "10: hbm.efficiency: residual is missing; "
         "expected residual: a value of kind fitted must have it"),
        ("\"bandwidth * 8 / (hbm.n_stacks * 1024)\"", "5", "6: hbm.pin_rate: digits where a formula is due; "
         "expected a formula over other parameters; got 5"),
        ("unit: bit/s", "unit: Gbit/s", "6: hbm.pin_rate: a formula works in base units; expected unit: bit/s; "
         "got 'Gbit/s'"),
        ("bandwidth * 8", "bandwith * 8", "6: hbm.pin_rate: unknown parameter 'bandwith' in the formula; "
         "expected a parameter's path; did you mean 'hbm.bandwidth'?"),
        ("bandwidth * 8", "pin_rate * 8", "6: hbm.pin_rate: formulas in a circle: hbm.pin_rate -> hbm.pin_rate; "
         "expected a formula that ends in written values"),
        ("bandwidth * 8", "bandwidth / 0", "6: hbm.pin_rate: division by zero; "
         "expected a formula with a finite value"),
        ("bandwidth * 8", "-bandwidth * 8", "6: hbm.pin_rate: too small; expected a bit rate greater than 0; "
         "got '-bandwidth * 8 / (hbm.n_stacks * 1024) = -5234375000.0'"),
        ("source: [own, h100wp]", "source: [own, 3]", "7: hbm.bandwidth: source is of the wrong type; "
         "expected an id of the source list, or a list of ids; got a list"),
        ("name: toy", "name: toy\nextends: other", "3: extends: extends needs a file; expected a merged document; "
         "got 'other'"),
        ("{title: \"Own bench\"}", "{titel: \"Own bench\"}", "3: sources.own: unknown key 'titel'; "
         "expected one of title, address, date, edition, trust; did you mean 'title'?"),
        ("{title: \"Own bench\"}", "{date: \"2024\"}", "3: sources.own: title is missing; expected a title"),
        ("{title: \"Own bench\"}", "{title: 3}", "3: sources.own: title is not text; expected words, in quotes; got 3"),
        ("name: toy", "name: toy\nremark: {value: 5, kind: published, source: own}",
         "3: remark: not words; expected text: a mapping with value, kind; got 5"),
        ("name: toy", "name: toy\nremark: {value: x, kind: derived}",
         "3: remark: words cannot be derived; expected another kind; got 'derived'"),
        ("name: toy", "name: toy\nremark: {value: x, unit: ns, kind: published, source: own}",
         "3: remark: words with a unit or a range; expected neither"),
        ("name: toy", "name: toy\ncache: {policy: {value: lur, kind: published, source: own}}",
         "3: cache.policy: unknown choice; expected one of lru, random; got 'lur'; did you mean 'lru'?"),
    ],
)  # fmt: skip
def test_refusals_name_file_line_key_and_value(old: str, new: str, message: str) -> None:
    assert refusal(old, new) == message


def test_a_circle_of_formulas_is_spelt_out() -> None:
    message = refusal(
        'n_stacks: {value: 5, unit: "1", kind: published, source: own}',
        'n_stacks: {value: "ceil(pin_rate / 1.0e+9)", unit: "1", kind: derived}',
    )
    assert message.endswith(
        "formulas in a circle: hbm.n_stacks -> hbm.pin_rate -> hbm.n_stacks; "
        "expected a formula that ends in written values"
    )


def test_whole_numbers_forgive_rounding_and_nothing_else() -> None:
    def capacity(value: str) -> int:
        return resolved(DOCUMENT.replace("value: 80, unit: GB", f"value: {value}, unit: MB")).values.hbm.capacity

    assert capacity("0.7") == 700_000
    assert capacity("1.0000000000001") == 1_000_000
    with pytest.raises(InputError, match="not a whole number"):
        capacity("1.00000001")


def test_badly_written_schemas_are_the_programmers_error() -> None:
    class Defaulted(Schema):
        count: Count = 3

    class Named(Schema):
        unit: Count

    class Odd(Schema):
        speed: float

    with pytest.raises(TypeError, match=r"^Defaulted.count: a default other than None would be a number without a"):
        schema_fields(Defaulted)
    with pytest.raises(TypeError, match=r"^Named.unit: a field may not be called 'unit'"):
        schema_fields(Named)
    with pytest.raises(TypeError, match=r"^Odd.speed: cannot be loaded from a document: <class 'float'>"):
        schema_fields(Odd)
