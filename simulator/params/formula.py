"""Formulas of derived parameters: arithmetic over other parameters, walked as a syntax tree and never executed."""

from __future__ import annotations

import ast
import functools
import math
import warnings
from collections.abc import Callable

from dieshot.simulator.errors import InputError, listed, nearest_name

Scalar = int | float

LONGEST_FORMULA = 500
DEEPEST_FORMULA = 40
LARGEST_EXPONENT = 64
LARGEST_MAGNITUDE = 1e60  # far beyond any quantity, far below the digits that would take long to multiply

_FUNCTIONS: dict[str, Callable[..., Scalar]] = {
    "min": min,
    "max": max,
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
}
_ARITY = {"min": (1, 20), "max": (1, 20), "ceil": (1, 1), "floor": (1, 1), "round": (1, 1)}


def _power(base: Scalar, exponent: Scalar) -> Scalar:
    if abs(exponent) > LARGEST_EXPONENT:
        raise InputError("exponent too large", expected=f"at most {LARGEST_EXPONENT}", value=exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise InputError("root of a negative number", expected="a real number", value=base)
    return result


_BINARY: dict[type[ast.operator], Callable[[Scalar, Scalar], Scalar]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Pow: _power,
}


@functools.cache
def parse_formula(text: str) -> ast.expr:
    """Return the syntax tree of a formula; InputError where it holds anything but names, numbers and arithmetic."""
    if len(text) > LONGEST_FORMULA:
        raise InputError("formula too long", expected=f"at most {LONGEST_FORMULA} characters", value=text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # text such as '1max(a)' is refused, not remarked upon
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError("not a formula", expected="arithmetic such as 'hbm.n_stacks * 1024'", value=text) from None
    _check(tree, text, 0)
    return tree


def formula_names(tree: ast.expr) -> tuple[str, ...]:
    """Return the dotted names in a formula, in the order written, each once."""
    return tuple(dict.fromkeys(_names(tree)))


def evaluate(tree: ast.expr, lookup: Callable[[str], Scalar]) -> Scalar:
    """Return the value of a checked formula; `lookup` gives the number behind a dotted name."""
    try:
        result = _value(tree, lookup)
    except ZeroDivisionError:
        raise InputError("division by zero", expected="a formula with a finite value") from None
    except OverflowError:
        raise InputError("number too large", expected="a formula with a finite value") from None
    if not math.isfinite(result):
        raise InputError("not finite", expected="a formula with a finite value", value=result)
    return result


def _value(node: ast.expr, lookup: Callable[[str], Scalar]) -> Scalar:
    result = _compute(node, lookup)
    if abs(result) > LARGEST_MAGNITUDE:
        raise OverflowError
    return result


def _compute(node: ast.expr, lookup: Callable[[str], Scalar]) -> Scalar:
    if isinstance(node, ast.Constant):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, lookup), _value(node.right, lookup))
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, lookup)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Call):
        return _FUNCTIONS[node.func.id](*(_value(argument, lookup) for argument in node.args))  # type: ignore[attr-defined]
    return lookup(_dotted(node))


def _check(node: ast.expr, text: str, depth: int) -> None:
    if depth > DEEPEST_FORMULA:
        raise InputError("formula too deep", expected=f"at most {DEEPEST_FORMULA} levels", value=text)
    for child in _children(node, text):
        _check(child, text, depth + 1)


def _children(node: ast.expr, text: str) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return [node.operand]
    if isinstance(node, ast.Call):
        _check_call(node, text)
        return list(node.args)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return []
    if isinstance(node, ast.Name | ast.Attribute) and _dotted(node):
        return []
    raise InputError("not allowed in a formula", expected="names, numbers, + - * / // ** and functions", value=text)


def _check_call(node: ast.Call, text: str) -> None:
    name = _dotted(node.func)
    if name not in _FUNCTIONS or node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
        nearest = nearest_name(name, _FUNCTIONS) if name not in _FUNCTIONS else None
        raise InputError("unknown function", expected=listed(_FUNCTIONS), value=name or text, nearest=nearest)
    least, most = _ARITY[name]
    if not least <= len(node.args) <= most:
        raise InputError(f"{name} takes {least} to {most} arguments", expected="another number of them", value=text)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return ""


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        return [_dotted(node)]
    if isinstance(node, ast.Call):
        return [name for argument in node.args for name in _names(argument)]
    return [name for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for name in _names(child)]
