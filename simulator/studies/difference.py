"""Where time and energy moved between two runs: figures, operators, parts, reasons of waiting, and the new limit."""

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
INPUTS = (
    "system",
    "model",
    "batch",
    "prompt",
    "cached",
    "generate",
    "precision",
    "kv_precision",
    "sparsity",
    "density",
    "prefill_chunk",
    "micro_batches",
    "tensor_parallel",
    "pipeline_parallel",
    "data_parallel",
    "chips",
    "fabric",
)
OPERATOR = ("phase", "name", "kind")
BETWEEN = ("", "between operators", "")  # host, draining and waiting; less what runs beside each other
BUSY = "busy"
DECODE = "decode"


def difference(before: Run | Summary, after: Run | Summary) -> dict[str, Any]:
    """Return what two runs differ in, as lists of rows, what moved most first.

    A row names what it is of and has `before`, `after`, `change` (None where one of them has no such figure) and
    `ratio` (after over before, None where that is none).

    inputs: what was asked for that differs (before, after). figures: in their own units. operators (phase, name, kind)
    and kinds (phase, kind): a user's time in s; operators and what is between them add up to the run; those of
    operators say what sets their time (limit_before, limit_after: see `limit.limit`). operators_per_token: the same of
    decode, for each token. components (kind, state): s of the run that the parts of a kind, on average, were busy or
    waited, by reason, and `share_before`, `share_after` of it; None of a kind that a run does not have. utilization:
    share of cycles that a kind is busy. energy, energy_per_token: J by kind of part. stalls: s that the main kind of
    part was busy or waited, by reason; they add up to the run.
    limits: {before, after, operators}: what sets most of a user's time, as rows (limit, time_s, share), most first; and
    the operators whose limit is another.
    """
    a, b = _summary(before), _summary(after)
    times_a, times_b = _operator_times(a), _operator_times(b)
    operators = _moved(OPERATOR, times_a, times_b)
    limits_a, limits_b = _limits(a), _limits(b)
    for row in operators:
        key = tuple(row[name] for name in OPERATOR)
        row |= {"limit_before": limits_a.get(key), "limit_after": limits_b.get(key)}
    told = [row for row in operators if row["limit_before"] and row["limit_after"]]
    return {
        "inputs": _inputs(a, b),
        "figures": [_row({"name": name}, a.get(name), b.get(name)) for name in FIGURES],
        "operators": operators,
        "operators_per_token": _moved(OPERATOR, _per_token(a, times_a), _per_token(b, times_b)),
        "kinds": _moved(("phase", "kind"), _by_kind(times_a), _by_kind(times_b)),
        "components": _components(a, b),
        "utilization": _utilization(a, b),
        "energy": _moved(("kind",), _energies(a), _energies(b)),
        "energy_per_token": _moved(("kind",), _energies(a, _tokens(a)), _energies(b, _tokens(b))),
        "stalls": _moved(("state",), _state_times(a), _state_times(b)),
        "limits": {
            "before": _by_limit(times_a, limits_a),
            "after": _by_limit(times_b, limits_b),
            "operators": [dict(row) for row in told if row["limit_before"] != row["limit_after"]],
        },
    }


def moved(found: Mapping[str, Any]) -> bool:
    """Tell whether anything at all differs between the runs of a difference."""
    tables = ("figures", "operators", "components", "energy", "stalls")
    rows = [row for table in tables for row in found[table]]
    return bool(found["inputs"]) or any(row["before"] != row["after"] for row in rows)


def _summary(run: Run | Summary) -> Summary:
    return run.summary if isinstance(run, Run) else run


def _inputs(a: Summary, b: Summary) -> list[Row]:
    return [
        {"name": name, "before": a.get(name), "after": b.get(name)} for name in INPUTS if a.get(name) != b.get(name)
    ]


def _operator_times(summary: Summary) -> Amounts:
    n_parts = summary.get("micro_batches", 1)
    times: dict[tuple[str, ...], float] = {}
    for each in summary["operators"]:
        key = tuple(each[name] for name in OPERATOR)
        times[key] = times.get(key, 0.0) + each["time_s"] / n_parts
    return times | {BETWEEN: summary["total_time_s"] - sum(times.values())}


def _limits(summary: Summary) -> dict[tuple[str, ...], str]:
    """Return what sets an operator's time; nothing of those of a run that does not tell."""
    found = {tuple(each[name] for name in OPERATOR): each.get("limit") for each in summary["operators"]}
    return {key: limit for key, limit in found.items() if limit is not None}


def _by_limit(times: Amounts, limits: Mapping[tuple[str, ...], str]) -> list[Row]:
    whole = sum(times.values())
    sums: dict[str, float] = {}
    for key, time in times.items():
        name = BETWEEN[1] if key == BETWEEN else limits.get(key)
        if name is not None:
            sums[name] = sums.get(name, 0.0) + time
    rows = [{"limit": name, "time_s": time, "share": time / whole if whole else 0.0} for name, time in sums.items()]
    return sorted(rows, key=lambda row: -row["time_s"])


def _state_times(summary: Summary) -> Amounts:
    shares = summary["stall_fractions"]
    shares = {BUSY: 1 - sum(shares.values())} | dict(shares)
    return {(state,): share * summary["total_time_s"] for state, share in shares.items()}


def _components(a: Summary, b: Summary) -> list[Row]:
    """Return the rows of all kinds of parts and their states; none where a run does not tell them."""
    states_a, states_b = a.get("component_states", {}), b.get("component_states", {})
    rows = []
    for kind in dict.fromkeys((*states_a, *states_b)):
        ours, theirs = states_a.get(kind), states_b.get(kind)
        for state in dict.fromkeys((*(ours or ()), *(theirs or ()))):
            shares = [None if of is None else of.get(state, 0.0) for of in (ours, theirs)]
            times = [
                None if share is None else share * summary["total_time_s"]
                for share, summary in zip(shares, (a, b), strict=True)
            ]
            row = _row({"kind": kind, "state": state}, *times)
            rows.append(row | {"share_before": shares[0], "share_after": shares[1]})
    return _sorted(rows)


def _utilization(a: Summary, b: Summary) -> list[Row]:
    ours, theirs = a.get("utilization", {}), b.get("utilization", {})
    kinds = dict.fromkeys((*ours, *theirs))
    return _sorted([_row({"kind": kind}, ours.get(kind), theirs.get(kind)) for kind in kinds])


def _by_kind(times: Amounts) -> Amounts:
    sums: dict[tuple[str, ...], float] = {}
    for (phase, _, kind), time in times.items():
        sums[phase, kind] = sums.get((phase, kind), 0.0) + time
    return sums


def _per_token(summary: Summary, times: Amounts) -> Amounts:
    """Return a user's time by operator of decode steps, of each of which there is one a token but the first."""
    n_steps = max(1, summary.get("generate", 0) - 1)
    return {key: time / n_steps for key, time in times.items() if key[0] == DECODE}


def _tokens(summary: Summary) -> int:
    """Return the output tokens of a run, as its energy per token counts them."""
    tokens: int = summary.get("batch", 1) * max(1, summary.get("generate", 1))
    return tokens


def _energies(summary: Summary, tokens: int = 1) -> Amounts:
    return {(kind,): joules / tokens for kind, joules in summary["energy_j"].items()}


def _moved(names: Iterable[str], before: Amounts, after: Amounts) -> list[Row]:
    keys = dict.fromkeys((*before, *after))
    rows = [
        _row(dict(zip(names, key, strict=True)), before.get(key, 0.0), after.get(key, 0.0))
        for key in keys
        if before.get(key) or after.get(key)
    ]
    return _sorted(rows)


def _sorted(rows: list[Row]) -> list[Row]:
    """Return rows by how far they moved; those that only one run has come last."""
    return sorted(rows, key=lambda row: (row["change"] is None, -abs(row["change"] or 0.0)))


def _row(what: Row, before: float | None, after: float | None) -> Row:
    if before is None or after is None:
        return what | {"before": before, "after": after, "change": None, "ratio": None}
    ratio = after / before if before else None
    return what | {"before": before, "after": after, "change": after - before, "ratio": ratio}
