"""Formulas of derived parameters: arithmetic only, bounded, never executed."""

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.formula import evaluate, formula_names, parse_formula

NUMBERS = {"a": 6, "b.c": 4.0, "zero": 0}


def value(text: str) -> float:
    return evaluate(parse_formula(text), NUMBERS.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a * b.c / 8", 3.0),
        ("-a + 2 ** 3", 2),
        ("a // 4", 1),
        ("ceil(a / 4) + floor(a / 4) + round(2.6)", 6),
        ("min(a, b.c, 9) * max(a, 7)", 28.0),
        ("(a + 1) * 1.5e3", 10500.0),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    assert value(text) == expected


def test_names_are_found_once_in_the_order_written() -> None:
    assert formula_names(parse_formula("b.c + min(a, b.c) * -x.y.z")) == ("b.c", "a", "x.y.z")


@pytest.mark.parametrize(
    "text",
    ["a if a else b", "a == 6", "[a]", "'a'", "a[0]", "(lambda: 1)()", "f'{a}'", "a.__class__()", "True", "a % 4",
     "1j", "a and b", "~a", "a << 3", "(a).b().c", "x := 3", "..."],
)  # fmt: skip
def test_anything_but_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^(not allowed in a formula|unknown function|not a formula); expected"):
        parse_formula(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a +", "not a formula; expected arithmetic such as 'hbm.n_stacks * 1024'; got 'a +'"),
        ("", "not a formula; expected arithmetic such as 'hbm.n_stacks * 1024'; got ''"),
        ("a\0", "not a formula; expected arithmetic such as 'hbm.n_stacks * 1024'; got 'a\\x00'"),
        ("cell(a)", "unknown function; expected one of min, max, ceil, floor, round; got 'cell'; did you mean 'ceil'?"),
        ("ceil(a, 2)", "ceil takes 1 to 1 arguments; expected another number of them; got 'ceil(a, 2)'"),
        ("max(*a)", "unknown function; expected one of min, max, ceil, floor, round; got 'max'"),
        ("a" * 501, f"formula too long; expected at most 500 characters; got '{'a' * 77}...'"),
        ("-" * 60 + "a", f"formula too deep; expected at most 40 levels; got '{'-' * 60}a'"),
    ],
)
def test_malformed_formulas(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_formula(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a / zero", "division by zero; expected a formula with a finite value"),
        ("zero ** -1", "division by zero; expected a formula with a finite value"),
        ("2 ** 65", "exponent too large; expected at most 64; got 65"),
        ("9 ** 9 ** 9", "exponent too large; expected at most 64; got 387420489"),
        ("1e50 * 1e50", "number too large; expected a formula with a finite value"),
        ("(10 ** 60) ** 60", "number too large; expected a formula with a finite value"),
        ("(-2) ** 0.5", "root of a negative number; expected a real number; got -2"),
    ],
)
def test_values_that_are_no_number(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        value(text)
    assert str(refused.value) == message
