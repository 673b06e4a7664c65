"""Claims: rows of a CSV file, one figure each, with what its author says about it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dieshot.simulator.errors import InputError, listed, nearest_name

COLUMNS = ("id", "system", "metric", "value", "unit", "model", "chips", "batch_or_users", "precision", "qualifier",
           "article", "section", "note")  # fmt: skip
NEEDED = ("id", "system", "metric", "value", "unit")
QUALIFIERS = ("claimed", "measured", "estimated", "projected")
LARGEST_FILE_BYTES = 16_000_000

_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?)"
_RANGE = re.compile(rf"\brange {_NUMBER} to {_NUMBER}\b")
_WORDED = re.compile(r"\bworded '([^']+)'")
_YEAR = re.compile(r"\byear ([12]\d{3})\b")
_YEARS = re.compile(r"\bover ([1-9]\d?) years\b")
_WORKLOAD = re.compile(r"\b([1-9]\d{0,6}) in, ([1-9]\d{0,6}) out\b")


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure: `value` in `unit`. What is unsaid is None or "".

    note: how the article words the figure; 'at least', 'at most', 'range A to B', "worded 'dozens'", 'year N',
    'over N years' and 'N in, M out' (tokens of a request) are understood, all else is for the reader.
    """

    id: str
    system: str
    metric: str
    value: float
    unit: str
    model: str = ""
    chips: int | None = None
    users: int | None = None
    precision: str = ""
    qualifier: str = "claimed"
    article: str = ""
    section: str = ""
    note: str = ""

    @property
    def range(self) -> tuple[float, float] | None:
        """The range that this figure is one end of."""
        found = _RANGE.search(self.note)
        return (float(found[1]), float(found[2])) if found else None

    @property
    def worded(self) -> str | None:
        """The words that stand for the figure."""
        found = _WORDED.search(self.note)
        return found[1] if found else None

    @property
    def year(self) -> int | None:
        """The year that the figure is for."""
        found = _YEAR.search(self.note)
        return int(found[1]) if found else None

    @property
    def years(self) -> int | None:
        """The years that the figure spans."""
        found = _YEARS.search(self.note)
        return int(found[1]) if found else None

    @property
    def workload(self) -> tuple[int, int] | None:
        """Tokens of a request: prompt and output."""
        found = _WORKLOAD.search(self.note)
        return (int(found[1]), int(found[2])) if found else None

    def interval(self, wordings: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
        """Return the values that the figure as worded allows. wordings: factors below and above the value."""
        if self.range is not None:
            return self.range
        words = self.worded or next((each for each in ("at least", "at most") if each in self.note), "")
        low, high = wordings.get(words, (1.0, 1.0))
        return (low * self.value, high * self.value)


def read_claims(path: Path, units: Mapping[str, Mapping[str, float]], shown: str | None = None) -> list[Claim]:
    """Return the claims of a CSV file, values in the units of their metrics.

    units: by metric the units that are understood, and what one of each is in the metric's own (the one that is 1).
    shown: what messages call the file. InputError names file, line, column, value and what was expected.
    """
    file = shown or str(path)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, expected="a CSV file of claims") from None
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", file=file, value=f"byte {error.start}", expected="a CSV file") from None
    if len(data) > LARGEST_FILE_BYTES:
        raise InputError("file too large", file=file, value=len(data), expected=f"at most {LARGEST_FILE_BYTES} bytes")
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    claims: list[Claim] = []
    seen: set[str] = set()
    try:
        _check_columns(rows.fieldnames or (), file)
        for row in rows:
            try:
                claims.append(_claim(row, units, seen))
            except InputError as error:
                raise error.located(file=file, line=rows.line_num) from None
    except csv.Error as error:
        problem, expected = f"not CSV ({error})", "cells apart by commas, text with commas in double quotes"
        raise InputError(problem, file=file, line=rows.line_num, expected=expected) from None
    return claims


def _check_columns(names: Collection[str], file: str) -> None:
    for name in names:
        if name not in COLUMNS:
            nearest = nearest_name(name, COLUMNS)
            raise InputError(
                "unknown column", file=file, line=1, value=name, expected=listed(COLUMNS, 13), nearest=nearest
            )
    for name in NEEDED:
        if name not in names:
            raise InputError("missing column", file=file, line=1, key=name, expected=f"columns {', '.join(NEEDED)}")


def _claim(row: Mapping[str, str | None], units: Mapping[str, Mapping[str, float]], seen: set[str]) -> Claim:
    if None in row or None in row.values():
        raise InputError("wrong number of cells", value=len([each for each in row.values() if each is not None]),
                         expected="one cell a column")  # fmt: skip
    cells = {name: (cell or "").strip() for name, cell in row.items()}
    for name in NEEDED:
        if not cells[name]:
            raise InputError("empty", key=name, expected=f"the claim's {name}", value="")
    if cells["id"] in seen:
        raise InputError("used before", key="id", value=cells["id"], expected="an id of its own")
    seen.add(cells["id"])
    metric = cells["metric"]
    if metric not in units:
        nearest = nearest_name(metric, units)
        raise InputError("unknown metric", key="metric", value=metric, expected=listed(sorted(units)), nearest=nearest)
    if cells["unit"] not in units[metric]:
        raise InputError("wrong unit", key="unit", value=cells["unit"], expected=listed(units[metric]))
    qualifier = cells.get("qualifier") or QUALIFIERS[0]
    if qualifier not in QUALIFIERS:
        nearest = nearest_name(qualifier, QUALIFIERS)
        raise InputError(
            "unknown qualifier", key="qualifier", value=qualifier, expected=listed(QUALIFIERS), nearest=nearest
        )
    scale = units[metric][cells["unit"]]
    return Claim(
        id=cells["id"],
        system=cells["system"],
        metric=metric,
        value=_number(cells["value"]) * scale,
        unit=next(unit for unit, factor in units[metric].items() if factor == 1),
        model=cells.get("model", ""),
        chips=_count(cells.get("chips", ""), "chips"),
        users=_count(cells.get("batch_or_users", ""), "batch_or_users"),
        precision=cells.get("precision", ""),
        qualifier=qualifier,
        article=cells.get("article", ""),
        section=cells.get("section", ""),
        note=cells.get("note", ""),
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError("not a number", key="value", value=text, expected="a number of at least 0, such as 0.58")
    return value


def _count(text: str, column: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 10**9:
        raise InputError("not a count", key=column, value=text, expected="a whole number of at least 1, or nothing")
    return int(text)
