"""The one error of this package: bad input, told in one line."""

import difflib
from collections.abc import Callable, Iterable

_MAX_VALUE_CHARS = 60
_MAX_WHERE_CHARS = 200


class TraceError(ValueError):
    """Bad model, trace or partition input. `str()` is one line: where, key, value, what was expected, nearest name.

    where: file, or file:line, or the function that was called.
    key: dotted key inside it, or "" when the file as a whole is at fault.
    """

    def __init__(self, where: str, key: str, problem: str, *, nearest: str | None = None) -> None:
        self.where = _one_line(where, _MAX_WHERE_CHARS)
        self.key = _one_line(key, _MAX_WHERE_CHARS)
        self.problem = problem
        self.nearest = nearest
        parts = [part for part in (self.where, self.key, problem) if part]
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(": ".join(parts) + hint)

    def __reduce__(self) -> tuple[Callable[..., "TraceError"], tuple[str, str, str, str | None]]:
        """Pickle by what the error was made from, so that it crosses process pools whole."""
        return _rebuild, (self.where, self.key, self.problem, self.nearest)


def show(value: object) -> str:
    """Return `value` as printable text of one line and bounded length."""
    if isinstance(value, str):
        return _one_line(repr(value[: 2 * _MAX_VALUE_CHARS]), _MAX_VALUE_CHARS)
    if isinstance(value, (dict, list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    return _one_line(repr(value), _MAX_VALUE_CHARS)


def nearest_name(name: object, known: Iterable[str]) -> str | None:
    """Return the known name closest in spelling to `name`, or None."""
    if not isinstance(name, str):
        return None
    matches = difflib.get_close_matches(name[:_MAX_WHERE_CHARS], list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown(where: str, key: str, value: object, known: Iterable[str]) -> TraceError:
    """Return the error for a name that is not one of `known`."""
    names = sorted(known)
    problem = f"unknown {show(value)}, expected one of {', '.join(names)}"
    return TraceError(where, key, problem, nearest=nearest_name(value, names))


def _rebuild(where: str, key: str, problem: str, nearest: str | None) -> TraceError:
    return TraceError(where, key, problem, nearest=nearest)


def _one_line(text: str, max_chars: int) -> str:
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: max_chars + 1])
    return safe if len(safe) <= max_chars else safe[: max_chars - 3] + "..."
