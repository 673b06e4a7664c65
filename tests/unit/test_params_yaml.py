"""YAML as it may be written: traps refused by name, nothing constructed, nothing that explodes."""

import math
from pathlib import Path

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.document import read_text
from dieshot.simulator.params.yaml_text import DEEPEST_NESTING, parse_yaml, yaml_text


def refusal(text: str) -> str:
    with pytest.raises(InputError) as refused:
        parse_yaml(text, "x.yaml")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_plain_data_and_its_lines() -> None:
    data, lines = parse_yaml("a: 1\nb:\n  c: [2.5, x, null, true]\n  d: {e: '1'}\n", "x.yaml")
    assert data == {"a": 1, "b": {"c": [2.5, "x", None, True], "d": {"e": "1"}}}
    assert (lines["a"], lines["b.c"], lines["b.d.e"]) == (1, 3, 4)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("1_000", 1000), ("-3", -3), ("0", 0), ("1.0e+9", 1e9), ("2.5", 2.5), (".5", 0.5), ("2021-05-20", "2021-05-20")],
)
def test_scalars_that_mean_what_they_say(scalar: str, value: object) -> None:
    read = parse_yaml(f"a: {scalar}", "x.yaml")[0]["a"]
    assert read == value and type(read) is type(value)


def test_special_floats_are_read_and_left_to_the_quantity_to_refuse() -> None:
    data = parse_yaml("a: [.inf, -.inf, .nan]", "x.yaml")[0]["a"]
    assert data[:2] == [math.inf, -math.inf] and math.isnan(data[2])


@pytest.mark.parametrize(
    ("scalar", "problem"),
    [
        ("no", "YAML reads this word as a truth value; expected true or false, or the word in quotes; got 'no'"),
        ("On", "YAML reads this word as a truth value; expected true or false, or the word in quotes; got 'On'"),
        ("1e9", "YAML reads this number as text; expected a mantissa with a point and an exponent with a sign, "
                "such as 1.0e+9, or quotes; got '1e9'"),
        ("1.0e9", "YAML reads this number as text; expected a mantissa with a point and an exponent with a sign, "
                  "such as 1.0e+9, or quotes; got '1.0e9'"),
        ("017", "YAML reads a leading zero as octal; expected the number without leading zeros, or quotes; got '017'"),
        ("0x1F", "not a decimal number; expected a decimal number, or quotes; got '0x1F'"),
        ("1:30", "YAML reads this as a number in base 60; expected a plain number, or quotes; got '1:30'"),
        ("9" * 50, f"too many digits; expected a number of at most 40 digits; got '{'9' * 50}'"),
    ],
)  # fmt: skip
def test_traps_are_refused_by_name(scalar: str, problem: str) -> None:
    assert refusal(f"a: 1\nb: {{c: {scalar}}}") == f"x.yaml:2: b.c: {problem}"
    assert parse_yaml(f"b: '{scalar}'", "x.yaml")[0] == {"b": scalar}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x.yaml:2: a: key given twice; expected each key once"),
        ("a: {b: 1, b: 1}", "x.yaml:1: a.b: key given twice; expected each key once"),
        ("a: &x 1", "x.yaml:1: a: anchors and aliases are not allowed; expected the value written out"),
        ("a: *x", "x.yaml:1: a: anchors and aliases are not allowed; expected the value written out"),
        ("a: !!int 1", "x.yaml:1: a: tags are not allowed; expected plain YAML; got 'tag:yaml.org,2002:int'"),
        ("&k a: 1", "x.yaml:1: anchors and tags are not allowed; expected a key of letters, digits, '_', '-' or '+'"),
        ("[1]", "x.yaml: not a mapping; expected a YAML mapping at the top; got a list"),
        ("", "x.yaml: not a mapping; expected a YAML mapping at the top; got None"),
        ("a: 1\n---\nb: 1", "x.yaml:2: more than one document; expected a single YAML document"),
        ("<<: {a: 1}", "x.yaml:1: not a usable key; expected a key of letters, digits, '_', '-' or '+'; got '<<'"),
        ("? [a]\n: 1", "x.yaml:1: not a usable key; expected a key of letters, digits, '_', '-' or '+'"),
        ("a.b: 1", "x.yaml:1: not a usable key; expected a key of letters, digits, '_', '-' or '+'; got 'a.b'"),
        ("a: [1", "x.yaml:2: not YAML: did not find expected ',' or ']'"),
        ("a: \x07", "x.yaml: not YAML: control characters are not allowed"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    if "not YAML: did" in message:  # the C and the Python parser word this differently
        assert refusal(text).startswith("x.yaml:")
    else:
        assert refusal(text) == message


def test_python_objects_are_never_built(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    assert "tags are not allowed" in refusal(f"a: !!python/object/apply:os.mkdir ['{witness}']")
    assert not witness.exists()


def test_a_billion_laughs_stop_at_the_first_anchor() -> None:
    laughs = "a: &a [lol, lol]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"
    assert refusal(laughs) == "x.yaml:1: a: anchors and aliases are not allowed; expected the value written out"


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_nesting_is_bounded(opening: str) -> None:
    assert refusal("a: " + opening * 100_000).endswith("nested too deeply; expected at most 32 levels")


def test_nesting_just_inside_the_bound_is_read() -> None:
    inside = "[" * DEEPEST_NESTING + "]" * DEEPEST_NESTING
    assert parse_yaml(f"a: {inside}", "x.yaml")[0]
    assert "nested too deeply" in refusal(f"a: [{inside}]")


def test_files_are_bounded_utf8_and_there(tmp_path: Path) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(InputError) as refused:
            read_text(path, "x.yaml")
        return str(refused.value)

    big, odd = tmp_path / "big.yaml", tmp_path / "odd.yaml"
    big.write_bytes(b"a: " + b"x" * (1 << 20))
    odd.write_bytes(b"a: \xff\xfe")
    assert problem(big) == "x.yaml: file too large; expected at most 1 MiB of YAML"
    assert problem(odd) == "x.yaml: not UTF-8 text (byte 3); expected YAML in UTF-8"
    assert problem(tmp_path / "none.yaml") == "x.yaml: cannot be read: No such file or directory"
    assert problem(tmp_path) == "x.yaml: cannot be read: Is a directory"
    big.write_bytes(b"a: " + b"x" * ((1 << 20) - 3))
    assert len(read_text(big, "x.yaml")) == 1 << 20


def test_canonical_text_of_awkward_data_reads_back() -> None:
    data = {
        "no": "no",
        "3d": {"x": 1e-7, "y": 1e22, "z": -0.0},
        "text": "\u2028\x7f\x85\U0001f600\"\\'\n\t: #",
        "empty": {},
        "list": [1, [True, None], {"k": "1e9"}],
    }
    assert parse_yaml(yaml_text(data), "x.yaml")[0] == data
