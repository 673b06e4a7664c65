"""What benchmarks note beside their times: rates, and what other simulators take, printed after the table."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    noted = [each for each in getattr(session, "benchmarks", []) if each.extra_info]
    if noted:
        terminalreporter.section("beside the times")
    for each in noted:
        shown = ", ".join(f"{key} {_short(value)}" for key, value in each.extra_info.items())
        terminalreporter.write_line(f"{each.name}: {shown}")


def _short(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
