"""Units: the table agrees with the unit library, bits are not bytes, and what is not a unit is refused."""

import subprocess
import sys
from fractions import Fraction

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import unit
from dieshot.simulator.params.unit import conversion, parse_unit, registry, unit_table


@pytest.mark.parametrize("name", [name for name in unit_table() if name not in ("1", "%")])
def test_table_agrees_with_the_unit_library(name: str) -> None:
    assert unit._parse_with_pint(name) == unit_table()[name]


@pytest.mark.parametrize(
    ("written", "base", "worth"),
    [
        ("GB/s", "B/s", 10**9),
        ("GBps", "B/s", 10**9),
        ("Gbit/s", "bit/s", 10**9),
        ("Gbps", "bit/s", 10**9),
        ("GB/s", "bit/s", 8 * 10**9),
        ("GiB", "B", 2**30),
        ("MB", "B", 10**6),
        ("us", "fs", 10**9),
        ("\u00b5s", "fs", 10**9),
        ("hour", "fs", 3600 * 10**15),
        ("pJ/bit", "fJ/B", 8000),
        ("TFLOP/s", "MAC/s", Fraction(10**12, 2)),
        ("flop/cycle", "MAC/cycle", Fraction(1, 2)),
        ("W", "mW", 1000),
        ("mm^2", "mm2", 1),
        ("um**2", "mm2", Fraction(1, 10**6)),
        ("%", "1", Fraction(1, 100)),
        ("USD / hour", "USD/hour", 1),
        ("kJ/GB", "fJ/B", 10**9),  # not in the table: worked out
        ("B/ns", "B/s", 10**9),
    ],
)
def test_worth_is_exact(written: str, base: str, worth: int | Fraction) -> None:
    assert conversion(written, base) == worth


@pytest.mark.parametrize(
    ("written", "base"), [("Hz", "cycle"), ("MAC/cycle", "op/cycle"), ("s", "cycle"), ("B", "B/s"), ("1", "cycle")]
)
def test_dimensions_are_kept_apart(written: str, base: str) -> None:
    assert conversion(written, base) is None


@pytest.mark.parametrize("written", ["b", "Gb", "Gb/s", "B/b", "Gib/s"])
def test_a_bare_b_is_refused(written: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_unit(written)
    assert str(refused.value) == f"b may be read as bit or byte; expected 'bit' or 'B' in its place; got '{written}'"


@pytest.mark.parametrize(
    "written", ["", "ns ns", "GB//s", "2", "s**99999", "m" * 60, "__import__", "1e3", "(s)", "s-1"]
)
def test_what_is_not_a_unit_is_refused(written: str) -> None:
    with pytest.raises(InputError, match=r"^not a unit; expected a unit such as 'ns', 'GB/s', 'MAC/cycle' or '1'; got"):
        parse_unit(written)


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(InputError) as refused:
        parse_unit("MACs/cycle")
    assert str(refused.value).startswith("unknown unit; expected a unit such as")
    assert refused.value.nearest == "MAC/cycle"


@pytest.mark.parametrize("written", ["Ws", "Vs", "GBs", "bits/s"])
def test_plurals_are_refused_since_s_is_the_second(written: str) -> None:
    with pytest.raises(InputError, match=r"^unknown unit"):
        parse_unit(written)


def test_the_registry_knows_no_other_units() -> None:
    assert "furlong" not in registry()
    with pytest.raises(InputError, match=r"^unknown unit"):
        parse_unit("furlong")


def test_common_units_need_no_unit_library() -> None:
    program = (
        "import sys\n"
        "from dieshot.simulator.params import LinkParameters, find_document, resolve\n"
        "resolve(find_document('links', 'nvlink4-nvswitch'), LinkParameters)\n"
        "sys.exit('pint' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
