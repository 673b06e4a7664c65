"""Overrides: what is set or scaled from outside, before formulas are computed, and every refusal."""

from typing import Literal

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import (
    ByteRate,
    Choice,
    Count,
    Femtoseconds,
    LinkParameters,
    Override,
    Ratio,
    Resolved,
    Schema,
    SystemParameters,
    document_from_text,
    find_document,
    overrides_of,
    parse_override,
    parse_overrides,
    resolve,
)


class Memory(Schema):
    n_channels: Count
    rate: ByteRate
    total: ByteRate
    latency: Femtoseconds | None = None
    efficiency: Ratio
    policy: Choice[Literal["open", "closed"]]


class Toy(Schema):
    name: str
    n_parts: int = 1
    banked: bool = False
    mode: Literal["fast", "slow"] = "fast"
    memory: Memory


DOCUMENT = """\
name: toy
memory:
  n_channels: {value: 4, unit: "1", kind: published, source: h100wp}
  rate: {value: 25, unit: GB/s, kind: published, source: h100wp}
  total: {value: "n_channels * rate", unit: B/s, kind: derived}
  efficiency: {value: 0.8, unit: "1", kind: assumed, range: [0.7, 0.9], why: "typical"}
  policy: {value: open, kind: assumed, why: "typical"}
"""


def overridden(*texts: str) -> Resolved[Toy]:
    return resolve(document_from_text(DOCUMENT, "toy.yaml"), Toy, parse_overrides(texts))


def refusal(*texts: str) -> str:
    with pytest.raises(InputError) as refused:
        overridden(*texts)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("chip.hbm.rate=9.2Gbps", Override("chip", "hbm.rate", "set", "9.2Gbps", 9.2, "Gbps")),
        ("fabric.rate = 50 GB/s", Override("fabric", "rate", "set", "50 GB/s", 50, "GB/s")),
        ("system.n_chips=4", Override("system", "n_chips", "set", "4", 4, None)),
        ("hbm.rate=*1.2", Override("chip", "hbm.rate", "multiply", "*1.2", 1.2, None)),
        ("hbm.rate=/2", Override("chip", "hbm.rate", "divide", "/2", 2, None)),
        ("a=-1.5e3Hz", Override("chip", "a", "set", "-1.5e3Hz", -1500.0, "Hz")),
        ("a=50%", Override("chip", "a", "set", "50%", 50, "%")),
        ("system=4", Override("chip", "system", "set", "4", 4, None)),
        ("fabric=/tmp/mine.yaml", Override("system", "fabric", "set", "/tmp/mine.yaml", None, None)),
        ("fabric.technology=optical", Override("fabric", "technology", "set", "optical", None, None)),
    ],
)
def test_parsing(text: str, override: Override) -> None:
    assert parse_override(text) == override


@pytest.mark.parametrize("text", ["", "=", "a", "a=", "=5", "a b=5", "a;b=5", "a" * 400 + "=1", "../a=1"])
def test_what_is_not_an_override(text: str) -> None:
    with pytest.raises(InputError, match=r"^--set: not an override; expected PATH=VALUE such as chip.hbm.pin_rate="):
        parse_override(text)


@pytest.mark.parametrize("factor", ["*", "*0", "/0", "*-2", "*x", "*2GB", "**2", "/1e999"])
def test_what_is_not_a_factor(factor: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_override(f"chip.a={factor}")
    assert str(refused.value) == (
        f"--set: chip.a: not a factor; expected =*FACTOR or =/FACTOR, greater than zero; got '{factor}'"
    )


def test_overrides_are_sorted_to_their_documents() -> None:
    overrides = parse_overrides(["chip.a=1", "fabric.b=2", "system.c=3", "d=4"])
    assert [override.path for override in overrides_of(overrides, "chip")] == ["a", "d"]
    assert [override.path for override in overrides_of(overrides, "fabric")] == ["b"]
    assert [override.path for override in overrides_of(overrides, "system")] == ["c"]


def test_formulas_see_what_was_set() -> None:
    values = overridden("chip.memory.rate=400Gbit/s", "chip.memory.n_channels=2").values.memory
    assert (values.rate, values.n_channels, values.total) == (50 * 10**9, 2, 100 * 10**9)


def test_a_derived_parameter_can_be_replaced_or_scaled() -> None:
    assert overridden("memory.total=7GB/s").values.memory.total == 7 * 10**9
    scaled = overridden("memory.total=*1.5", "memory.rate=10GB/s")
    assert scaled.values.memory.total == 60 * 10**9  # values are set before anything is scaled
    assert scaled.record("memory.total").formula is None


def test_scaling_keeps_the_written_unit_and_is_exact() -> None:
    assert overridden("memory.rate=*1.2").record("memory.rate").written == "30 GB/s"
    assert overridden("memory.rate=/3", "memory.rate=*3").values.memory.rate == 25 * 10**9
    assert overridden("memory.efficiency=*1.1").values.memory.efficiency == 0.88


def test_words_switches_and_optional_leaves_can_be_set() -> None:
    values = overridden("memory.policy=closed", "banked=true", "n_parts=3", "name=other", "memory.latency=3ns").values
    assert (values.memory.policy, values.banked, values.n_parts, values.name) == ("closed", True, 3, "other")
    assert values.memory.latency == 3_000_000


def test_an_override_is_on_the_record() -> None:
    result = overridden("memory.rate=50GB/s")
    record = result.record("memory.rate")
    assert (record.kind, record.why, record.overridden, record.source) == (
        "assumed",
        "set on the command line",
        True,
        None,
    )
    assert record.note == "in place of 25 GB/s (published)"
    assert not result.record("memory.n_channels").overridden
    assert result.values.memory.rate and result.assumed_read() == (record,)


def test_text_carries_overrides() -> None:
    result = overridden("memory.rate=*2", "memory.policy=closed", "n_parts=2")
    again = resolve(document_from_text(result.text, "copy"), Toy)
    assert again.values == result.values and again.text == result.text


def test_the_document_is_left_as_it_was() -> None:
    document = document_from_text(DOCUMENT, "toy.yaml")
    resolve(document, Toy, [parse_override("memory.rate=1GB/s")])
    assert resolve(document, Toy).values.memory.rate == 25 * 10**9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip.memory.rat=1GB/s", "--set: chip.memory.rat: unknown parameter of toy.yaml; "
         "expected a parameter's path; did you mean 'chip.memory.rate'?"),
        ("q=1", "--set: chip.q: unknown parameter of toy.yaml; expected one of name, n_parts, banked, mode, "
         "memory.n_channels, memory.rate, memory.total, memory.latency, memory.efficiency, memory.policy"),
        ("memory.rate.value=1", "--set: chip.memory.rate.value: unknown parameter of toy.yaml; "
         "expected a parameter's path; did you mean 'chip.memory.rate'?"),
        ("memory.rate=1", "--set: chip.memory.rate: a number without unit; expected a byte rate such as '4GB/s'; "
         "got '1'"),
        ("memory.rate=fast", "--set: chip.memory.rate: not a number; expected a byte rate such as '4GB/s'; got 'fast'"),
        ("memory.rate=1ns", "--set: chip.memory.rate: wrong dimension; expected a byte rate such as 'GB/s'; got 'ns'"),
        ("memory.rate=1GBs/s", "--set: chip.memory.rate: unknown unit; expected a unit such as 'ns', 'GB/s' or "
         "'MAC/cycle'; got 'GBs/s'; did you mean 'GB/s'?"),
        ("memory.rate=0GB/s", "--set: chip.memory.rate: too small; expected a byte rate greater than 0; got 0"),
        ("memory.rate=1e999GB/s", "--set: chip.memory.rate: not finite; expected a finite number; got inf"),
        ("memory.n_channels=/3", "--set: chip.memory.n_channels: not a whole number; "
         "expected a count, a whole number of ones; got 1.3333333333333333"),
        ("memory.efficiency=1.5", "--set: chip.memory.efficiency: too large; expected a ratio of at most 1; got 1.5"),
        ("memory.latency=*2", "--set: chip.memory.latency: nothing to scale: not in the document; "
         "expected a time such as '4ns'"),
        ("memory.policy=*2", "--set: chip.memory.policy: words cannot be scaled; got '*2'"),
        ("memory.policy=opne", "--set: memory.policy: unknown choice; expected one of open, closed; got 'opne'; "
         "did you mean 'open'?"),
        ("name=*2", "--set: chip.name: not a number that can be scaled; got '*2'"),
        ("n_parts=2.5", "--set: chip.n_parts: of the wrong type; expected a whole number; got '2.5'"),
        ("n_parts=0", "--set: n_parts: too small; expected a whole number of at least 1; got 0"),
        ("banked=1", "--set: chip.banked: of the wrong type; expected true or false; got '1'"),
        ("mode=fats", "--set: mode: unknown choice; expected one of fast, slow; got 'fats'; did you mean 'fast'?"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    assert refusal(text) == message


def test_overrides_of_catalog_documents() -> None:
    fabric = parse_overrides(["fabric.hop_latency=/2", "fabric.in_switch_reduction=absent"])
    values = resolve(find_document("links", "nvlink4-nvswitch"), LinkParameters, fabric).values
    assert (values.hop_latency, values.in_switch_reduction) == (350_000_000, "absent")
    system = parse_overrides(["system.partition.tensor_parallel=4", "system.n_chips=4", "system.chip=other"])
    resolved = resolve(find_document("systems", "dgx-h100"), SystemParameters, system).values
    assert (resolved.partition.tensor_parallel, resolved.n_chips, resolved.chip) == (4, 4, "other")
