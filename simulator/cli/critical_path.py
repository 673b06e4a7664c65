"""The critical path of a run on the terminal: from phases down to resources, and what each would give."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dieshot.simulator.cli import quantity

if TYPE_CHECKING:
    from dieshot.simulator.studies.result import Run

LEAST_SHARE = 1e-3  # of the run: what is below stays in --json
MOST_STAGES, MOST_NAMED = 8, 3
FS = 1e-15


def path_of(
    run: "Run | Path", if_faster: bool, processes: int, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Return the critical path of a run in memory or of a file."""
    from dieshot.simulator.studies.critical_path.study import critical_path

    return critical_path(run, if_faster=if_faster, processes=processes, progress=progress)


def path_record(path: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a path adds to a run's record."""
    return {} if path is None else {"critical_path": path}


def print_path(path: Mapping[str, Any] | None, as_json: bool = False, quiet: bool = False) -> None:
    """Print a critical path as tables; nothing where there is none, or where its record is printed."""
    if path is None or as_json or quiet:
        return
    from dieshot.simulator.cli.table import columns, console

    out = console()
    headings = dict.fromkeys(("phase", "operator", "resource"), "left")
    headings |= dict.fromkeys(("time", "share", "run if free"), "right")
    out.print(columns(f"critical path, {_time(path['duration_fs'])}", headings, _operator_rows(path["operators"])))
    if path["operators_overlap"]:
        out.print("operators overlap on this chip: each has the time that it adds to those before it", markup=False)
    if len(path["stages"]) > 1:
        headings = {"stage": "right", "turns": "right", "time": "right", "share": "right"}
        longest = sorted(path["stages"], key=lambda each: (-each["time_fs"], each["stage"]))[:MOST_STAGES]
        of_all = f" ({len(longest)} of {len(path['stages'])})" if len(longest) < len(path["stages"]) else ""
        out.print(columns(f"stages on it{of_all}", headings, map(_stage_row, longest)))
    headings = {"resource": "left"} | dict.fromkeys(("time", "share", "in use", "run less it", "if faster"), "right")
    out.print(columns("resources on it", headings, _resource_rows(path["resources"], path["duration_fs"])))
    for line in sentences(path):
        out.print(line, markup=False)


def sentences(path: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what sets the time, and what the run would take with resources made faster, the best first."""
    operators = sorted(path["operators"], key=lambda each: -each["time_fs"])[:MOST_NAMED]
    named = ", ".join(
        f"{each['phase']} {each['name']} ({quantity.percent(each['share'])})".strip() for each in operators
    )
    first = path["resources"][0]
    yield f"most of the time: {named}; {_words(first['resource'])} holds {quantity.percent(first['share'])} of the run"
    made = [each for each in path["resources"] if each["factor"] is not None]
    for each in sorted(made, key=lambda each: each["if_faster_fs"])[:MOST_NAMED]:
        times = f"{_time(path['duration_fs'])} -> {_time(each['if_faster_fs'])}"
        yield f"{_words(each['resource'])} {each['factor']} times as fast: {times}"


def _operator_rows(operators: list[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each phase, operator and resource that has a share worth it."""
    for phase in dict.fromkeys(each["phase"] for each in operators):
        of_phase = [each for each in operators if each["phase"] == phase]
        if phase:
            time_fs, share = (sum(each[key] for each in of_phase) for key in ("time_fs", "share"))
            yield (phase, "", "", _time(time_fs), quantity.percent(share), "")
        else:
            yield ("between", "", "", "", "", "")
        shown = [each for each in of_phase if each["share"] >= LEAST_SHARE]
        for each in shown:
            values = (_time(each["time_fs"]), quantity.percent(each["share"]), _time(each["if_free_fs"]))
            yield ("", each["name"], "", *values)
            for of in each["resources"]:
                if of["share"] >= LEAST_SHARE:
                    yield ("", "", _words(of["resource"]), _time(of["time_fs"]), quantity.percent(of["share"]), "")
        if len(shown) < len(of_phase):
            rest = [each for each in of_phase if each["share"] < LEAST_SHARE]
            time_fs, share = (sum(each[key] for each in rest) for key in ("time_fs", "share"))
            yield ("", f"{len(rest)} more", "", _time(time_fs), quantity.percent(share), "")


def _stage_row(stage: Mapping[str, Any]) -> tuple[str, ...]:
    return str(stage["stage"]), f"{stage['turns']:,}", _time(stage["time_fs"]), quantity.percent(stage["share"])


def _resource_rows(resources: list[Mapping[str, Any]], end_fs: int) -> Iterator[tuple[str, ...]]:
    for each in resources:
        if each["share"] < LEAST_SHARE:
            continue
        faster = "-"
        if each["factor"] is not None:
            change = each["if_faster_fs"] / end_fs - 1
            faster = f"{each['factor']} times: {_time(each['if_faster_fs'])}, {change:+.1%}"
        yield (
            _words(each["resource"]),
            _time(each["time_fs"]),
            quantity.percent(each["share"]),
            _time(each["in_use_fs"]),
            _time(each["if_free_bound_fs"]),
            faster,
        )


def _words(resource: str) -> str:
    from dieshot.simulator.cli.difference import limit_words

    return limit_words(resource)


def _time(fs: int) -> str:
    return quantity.si(fs * FS, "s")
