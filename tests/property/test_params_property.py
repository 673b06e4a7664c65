"""Properties of the door: nothing but values or one-line errors, and numbers that survive conversion exactly."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters, document_from_text, find_document, parse_override, resolve
from dieshot.simulator.params.formula import evaluate, parse_formula
from dieshot.simulator.params.quantity import Quantity
from dieshot.simulator.params.unit import conversion, parse_unit, unit_table
from dieshot.simulator.params.yaml_text import parse_yaml, yaml_text

UNITS = st.sampled_from(sorted(unit_table()))
BYTES = Quantity("a capacity", ("B",), "GiB", integer=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_+-]{0,20}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers(-(10**39), 10**39) | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


def refused_in_one_line(error: InputError) -> bool:
    return str(error).isprintable() and len(str(error)) < 1600


@given(UNITS, UNITS)
def test_conversion_there_and_back_is_exact(one: str, other: str) -> None:
    there, back = conversion(one, other), conversion(other, one)
    if parse_unit(one).dimension == parse_unit(other).dimension:
        assert there is not None and back is not None and there * back == 1
    else:
        assert there is None and back is None


@given(st.integers(1, 10**6), st.sampled_from(["kB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_capacities_convert_without_rounding(value: int, unit: str) -> None:
    scale = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    assert BYTES.convert(value, unit) == value * scale


@given(st.decimals(min_value=1, max_value=10**6, places=3))
def test_decimal_fractions_convert_as_written(value: object) -> None:
    assert BYTES.convert(float(str(value)), "GB") == Fraction(str(value)) * 10**9


@given(st.text(max_size=60))
def test_any_text_is_a_unit_or_refused(text: str) -> None:
    try:
        assert parse_unit(text).scale > 0
    except InputError as error:
        assert refused_in_one_line(error)


@given(st.text(max_size=80))
def test_any_text_is_an_override_or_refused(text: str) -> None:
    try:
        override = parse_override(text)
    except InputError as error:
        assert refused_in_one_line(error)
    else:
        assert override.path and override.action in ("set", "multiply", "divide")


@given(
    st.sampled_from(["chip.", "fabric.", "system.", ""]), KEYS, st.floats(allow_nan=False, allow_infinity=False), UNITS
)
def test_written_overrides_read_back(prefix: str, path: str, number: float, unit: str) -> None:
    override = parse_override(f"{prefix}{path}={number!r}{unit}" if unit != "1" else f"{prefix}{path}={number!r}")
    assert override.target == (prefix.removesuffix(".") or "chip") and override.path == path
    assert (override.number, override.unit) == (number, None if unit == "1" else unit)


@given(st.integers(1, 10**6), st.sampled_from(["GB/s", "Gbit/s", "MB/s", "GBps", "TB/s"]))
def test_overrides_reach_values_and_text(number: int, unit: str) -> None:
    document = find_document("links", "nvlink4-nvswitch")
    result = resolve(document, LinkParameters, [parse_override(f"fabric.rate={number}{unit}")])
    worth = conversion(unit, "B/s")
    assert worth is not None and result.values.rate == number * worth
    assert resolve(document_from_text(result.text, "copy"), LinkParameters).values == result.values


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_scaling_up_and_down_again_changes_nothing(up: int, down: int) -> None:
    document = find_document("links", "nvlink4-nvswitch")
    texts = [
        f"fabric.hop_latency=*{up}",
        f"fabric.hop_latency=/{up}",
        f"fabric.energy=*{down}",
        f"fabric.energy=/{down}",
    ]
    values = resolve(document, LinkParameters, [parse_override(text) for text in texts]).values
    assert values.hop_latency == 700_000_000 and math.isclose(values.energy, 5500.0, rel_tol=1e-15)


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_canonical_text_reads_back(data: dict[str, object]) -> None:
    assert parse_yaml(yaml_text(data), "x.yaml")[0] == data


@given(st.text(max_size=200) | st.text("{}[]:,-&*!|>'\"#%@ \n\tabc019.e", max_size=200))
def test_any_text_is_a_document_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, "x.yaml")[0], dict)
    except InputError as error:
        assert refused_in_one_line(error)


@given(st.text("ab.0123456789+-*/()e, minmaxceilround_", max_size=60))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        assert math.isfinite(evaluate(parse_formula(text), lambda _: 3))
    except InputError as error:
        assert refused_in_one_line(error)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 50), st.sampled_from("+-*/"), st.sampled_from("+-*"))
def test_formulas_agree_with_python(a: int, b: int, c: int, inner: str, outer: str) -> None:
    text = f"({a} {outer} b) {inner} c"
    assert evaluate(parse_formula(text), {"b": b, "c": c}.__getitem__) == eval(text, {"b": b, "c": c})
