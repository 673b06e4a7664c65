"""YAML as configuration files may use it: plain data in, plain data out, nothing that surprises or executes.

Only the parser of PyYAML is used (its events, in C where built); nothing is ever constructed from a tag. Refused by
name: anchors and aliases (a ten-line file can stand for a billion nodes), tags, repeated keys, several documents,
nesting beyond 32, and the words that YAML 1.1 reads in another way than people mean (`no`, `1e9`, `017`, `1:30`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from dieshot.simulator.errors import InputError

LARGEST_FILE_BYTES = 1 << 20
DEEPEST_NESTING = 32
LONGEST_KEY = 100

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]{0,39})")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+)([eE][-+][0-9]{1,4})?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRAPS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|TRUE|FALSE"), "YAML reads this word as a truth value",
     "true or false, or the word in quotes"),
    (re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+"), "YAML reads this number as text",
     "a mantissa with a point and an exponent with a sign, such as 1.0e+9, or quotes"),
    (re.compile(r"[-+]?0[0-9_]+"), "YAML reads a leading zero as octal", "the number without leading zeros, or quotes"),
    (re.compile(r"[-+]?0[xXbBoO][0-9a-fA-F_]+"), "not a decimal number", "a decimal number, or quotes"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "YAML reads this as a number in base 60",
     "a plain number, or quotes"),
    (re.compile(r"[-+]?[0-9][0-9_]{40,}"), "too many digits", "a number of at most 40 digits"),
)  # fmt: skip
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+-]*")
_PATH_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass
class _Composition:
    """Where the composer stands: the events still to come and the line of each dotted path seen."""

    events: Iterator[yaml.Event]
    file: str
    path_keys: bool = False
    lines: dict[str, int] = field(default_factory=dict)

    def refuse(self, problem: str, event: yaml.Event, path: str, **more: Any) -> InputError:
        return InputError(problem, file=self.file, key=path or None, line=_line(event), **more)


def parse_yaml(text: str, file: str, path_keys: bool = False) -> tuple[dict[str, Any], dict[str, int]]:
    """Return a document as nested dicts and lists, and the line of each dotted path; InputError where refused.

    path_keys: keys may be dotted paths themselves.
    """
    if len(text) > LARGEST_FILE_BYTES:
        raise InputError("file too large", file=file, expected="at most 1 MiB of YAML")
    composition = _Composition(yaml.parse(text, Loader=_LOADER), file, path_keys)
    try:
        data = _document(composition)
    except yaml.YAMLError as failure:
        raise _syntax_error(failure, file) from None
    except (ValueError, RecursionError) as failure:
        if isinstance(failure, InputError):
            raise
        raise InputError("not readable as YAML", file=file, value=str(failure)) from None
    return data, composition.lines


def _syntax_error(failure: yaml.YAMLError, file: str) -> InputError:
    mark = getattr(failure, "problem_mark", None)
    problem = getattr(failure, "problem", None) or getattr(failure, "reason", None) or "cannot be parsed"
    return InputError(f"not YAML: {problem}", file=file, line=None if mark is None else mark.line + 1)


def _document(composition: _Composition) -> dict[str, Any]:
    data: Any = None
    n_documents = 0
    for event in composition.events:
        if isinstance(event, yaml.DocumentStartEvent):
            n_documents += 1
            if n_documents > 1:
                raise composition.refuse("more than one document", event, "", expected="a single YAML document")
            data = _node(composition, next(composition.events), "", 0)
    if not isinstance(data, dict):
        raise InputError("not a mapping", file=composition.file, expected="a YAML mapping at the top", value=data)
    return data


def _node(composition: _Composition, event: yaml.Event, path: str, depth: int) -> Any:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise composition.refuse("anchors and aliases are not allowed", event, path, expected="the value written out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise composition.refuse("tags are not allowed", event, path, value=tag, expected="plain YAML")
    if depth > DEEPEST_NESTING:
        raise composition.refuse("nested too deeply", event, "", expected=f"at most {DEEPEST_NESTING} levels")
    composition.lines.setdefault(path, _line(event))
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(composition, event, path)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(composition, path, depth)
    return _mapping(composition, path, depth)


def _sequence(composition: _Composition, path: str, depth: int) -> list[Any]:
    items: list[Any] = []
    for event in composition.events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        items.append(_node(composition, event, f"{path}[{len(items)}]", depth + 1))
    return items


def _mapping(composition: _Composition, path: str, depth: int) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for event in composition.events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _key(composition, event, path)
        below = f"{path}.{key}" if path else key
        if key in items:
            raise composition.refuse("key given twice", event, below, expected="each key once")
        composition.lines[below] = _line(event)
        items[key] = _node(composition, next(composition.events), below, depth + 1)
    return items


def _key(composition: _Composition, event: yaml.Event, path: str) -> str:
    signs = "'_', '.', '-' or '+'" if composition.path_keys else "'_', '-' or '+'"
    expected = f"a key of letters, digits, {signs}"
    usable = _PATH_KEY if composition.path_keys else _KEY
    if not isinstance(event, yaml.ScalarEvent):
        raise composition.refuse("not a usable key", event, path, expected=expected)
    if getattr(event, "anchor", None) is not None or event.tag is not None:
        raise composition.refuse("anchors and tags are not allowed", event, path, expected=expected)
    if len(event.value) > LONGEST_KEY or not usable.fullmatch(event.value):
        raise composition.refuse("not a usable key", event, path, expected=expected, value=event.value)
    return str(event.value)


def _scalar(composition: _Composition, event: yaml.ScalarEvent, path: str) -> Any:
    text = event.value
    if event.style:  # quoted or block text: never a number
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "").lower())
    for pattern, problem, expected in _TRAPS:
        if pattern.fullmatch(text):
            raise composition.refuse(problem, event, path, expected=expected, value=text)
    return text


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return int(event.start_mark.line) + 1


def yaml_text(data: Mapping[str, Any]) -> str:
    """Return data as canonical YAML that `parse_yaml` reads back unchanged: sections indented, each leaf on a line."""
    return "".join(f"{line}\n" for line in _block(data, 0)) or "{}\n"


def _block(data: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in data.items():
        start = f"{'  ' * depth}{_written_key(key)}:"
        if isinstance(value, Mapping) and value and not is_leaf(value):
            yield start
            yield from _block(value, depth + 1)
        else:
            yield f"{start} {_flow(value)}"


def is_leaf(node: object) -> bool:
    """Return whether a node is (meant as) a number with its unit and source rather than a section."""
    return isinstance(node, Mapping) and not {"value", "kind", "unit"}.isdisjoint(node)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_written_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return _float(value) if isinstance(value, float) else str(value)


def _written_key(key: str) -> str:
    is_plain = key[0].isalpha() and key not in _TRUTH and key not in _NULL and not _TRAPS[0][0].fullmatch(key)
    return key if is_plain else _quoted(key)


def _float(number: float) -> str:
    text = repr(number)
    if text in ("inf", "-inf", "nan"):
        return text.replace("inf", ".inf").replace("nan", ".nan")
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _quoted(text: str) -> str:
    # JSON text is YAML text but for characters that YAML wants escaped and JSON leaves as they are
    return "".join(c if c.isprintable() or c == " " else _escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
