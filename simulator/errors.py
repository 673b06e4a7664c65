"""Errors that name what was wrong with the input: one line, always."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_PART = 300
LONGEST_VALUE = 80
_ABSENT = object()


class InputError(ValueError):
    """Input that cannot be used: says which file, key and value, and what was expected.

    `str()` is a single line, `FILE:LINE: KEY: PROBLEM; expected ...; got ...; did you mean '...'?`, whatever the
    parts contain: line breaks and control characters are escaped and long values are cut.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        key: str | None = None,
        value: object = _ABSENT,
        expected: str | None = None,
        nearest: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = file
        self.key = key
        self.has_value = value is not _ABSENT
        self.value = value if self.has_value else None
        self.expected = expected
        self.nearest = nearest
        self.line = line

    def located(self, *, file: str | None = None, key: str | None = None, line: int | None = None) -> InputError:
        """Return the same error with the parts of its place that were unknown where it was raised."""
        return InputError(
            self.problem,
            file=self.file if self.file is not None else file,
            key=self.key if self.key is not None else key,
            value=self.value if self.has_value else _ABSENT,
            expected=self.expected,
            nearest=self.nearest,
            line=self.line if self.line is not None else line,
        )

    def __str__(self) -> str:
        return f"{self._place()}{self._complaint()}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle their positional arguments only; the place must survive a worker process.
        return (_rebuild, (self.problem, self._fields()))

    def _fields(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "file": self.file,
            "key": self.key,
            "expected": self.expected,
            "nearest": self.nearest,
            "line": self.line,
        }
        return fields | {"value": self.value} if self.has_value else fields

    def _place(self) -> str:
        file = "" if self.file is None else one_line(self.file)
        if file and self.line is not None:
            file = f"{file}:{self.line}"
        key = "" if self.key is None else one_line(self.key)
        return "".join(f"{part}: " for part in (file, key) if part)

    def _complaint(self) -> str:
        parts = [one_line(self.problem)]
        if self.expected is not None:
            parts.append(f"expected {one_line(self.expected)}")
        if self.has_value:
            parts.append(f"got {quoted(self.value)}")
        if self.nearest is not None:
            parts.append(f"did you mean {quoted(self.nearest)}?")
        return "; ".join(parts)


def one_line(text: object, longest: int = LONGEST_PART) -> str:
    """Return `text` as printable text on one line of at most `longest` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def quoted(value: object) -> str:
    """Return a value as it is shown in an error: text in quotes, everything cut to `LONGEST_VALUE`."""
    if isinstance(value, str):
        return f"'{one_line(value, LONGEST_VALUE)}'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else one_line(value, LONGEST_VALUE)


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that looks most like `name`, or None where none is near."""
    candidates = {candidate.lower(): candidate for candidate in valid}
    matches = difflib.get_close_matches(name.lower()[:200], candidates, n=1, cutoff=0.6)
    return candidates[matches[0]] if matches else None


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as 'one of a, b, c', cut after `most`."""
    ordered = list(names)
    if not ordered:
        return "nothing (none exist)"
    tail = f", ... ({len(ordered)} in all)" if len(ordered) > most else ""
    return f"one of {', '.join(ordered[:most])}{tail}"


def _rebuild(problem: str, fields: dict[str, object]) -> InputError:
    return InputError(problem, **fields)  # type: ignore[arg-type]
