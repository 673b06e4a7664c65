"""Where time and energy moved between two runs: figures, operators, kinds of parts, reasons of waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dieshot.simulator.studies.result import Run

Summary = Mapping[str, Any]
Row = dict[str, Any]
Amounts = Mapping[tuple[str, ...], float]
FIGURES = (
    "time_to_first_token_s",
    "time_per_output_token_s",
    "tokens_per_s_user",
    "tokens_per_s_system",
    "total_time_s",
    "energy_per_token_j",
    "average_power_w",
)
OPERATOR = ("phase", "name", "kind")
BETWEEN = ("", "between operators", "")  # host, draining and waiting; less what runs beside each other


def difference(before: Run | Summary, after: Run | Summary) -> dict[str, Any]:
    """Return {figures, operators, kinds, energy, stalls} of two runs, each a list of rows, what moved most first.

    A row names what it is of and has `before`, `after`, `change` (None where one of them has no such figure) and
    `ratio` (after over before, None where that is none). figures: in their own units. operators (phase, name, kind) and
    kinds (phase, kind): a user's time in s; operators and what is between them add up to the run. energy: J by kind of
    part. stalls: s that the main kind of part was busy or waited, by reason; they add up to the run.
    """
    a, b = _summary(before), _summary(after)
    times_a, times_b = _operator_times(a), _operator_times(b)
    return {
        "figures": [_row({"name": name}, a.get(name), b.get(name)) for name in FIGURES],
        "operators": _moved(OPERATOR, times_a, times_b),
        "kinds": _moved(("phase", "kind"), _by_kind(times_a), _by_kind(times_b)),
        "energy": _moved(("kind",), _energies(a), _energies(b)),
        "stalls": _moved(("state",), _state_times(a), _state_times(b)),
    }


def _summary(run: Run | Summary) -> Summary:
    return run.summary if isinstance(run, Run) else run


def _operator_times(summary: Summary) -> Amounts:
    n_parts = summary.get("micro_batches", 1)
    times: dict[tuple[str, ...], float] = {}
    for each in summary["operators"]:
        key = tuple(each[name] for name in OPERATOR)
        times[key] = times.get(key, 0.0) + each["time_s"] / n_parts
    return times | {BETWEEN: summary["total_time_s"] - sum(times.values())}


def _state_times(summary: Summary) -> Amounts:
    shares = summary["stall_fractions"]
    shares = {"busy": 1 - sum(shares.values())} | dict(shares)
    return {(state,): share * summary["total_time_s"] for state, share in shares.items()}


def _by_kind(times: Amounts) -> Amounts:
    sums: dict[tuple[str, ...], float] = {}
    for (phase, _, kind), time in times.items():
        sums[phase, kind] = sums.get((phase, kind), 0.0) + time
    return sums


def _energies(summary: Summary) -> Amounts:
    return {(kind,): joules for kind, joules in summary["energy_j"].items()}


def _moved(names: Iterable[str], before: Amounts, after: Amounts) -> list[Row]:
    keys = dict.fromkeys((*before, *after))
    rows = [
        _row(dict(zip(names, key, strict=True)), before.get(key, 0.0), after.get(key, 0.0))
        for key in keys
        if before.get(key) or after.get(key)
    ]
    return sorted(rows, key=lambda row: -abs(row["change"]))


def _row(what: Row, before: float | None, after: float | None) -> Row:
    if before is None or after is None:
        return what | {"before": before, "after": after, "change": None, "ratio": None}
    ratio = after / before if before else None
    return what | {"before": before, "after": after, "change": after - before, "ratio": ratio}
