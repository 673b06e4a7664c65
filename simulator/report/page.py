"""The spectrum as one HTML page that needs nothing else: the picture, the table, how to open each line."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from dieshot.simulator.report.scatter import scatter_figure, svg
from dieshot.simulator.report.spectrum import HEADINGS, cells, order_line

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th.right, td.right { text-align: right; }
code { background: #f3f3f3; padding: .1rem .3rem; }
svg { max-width: 100%; height: auto; }
small { color: #666; }
"""


def spectrum_page(found: Mapping[str, Any]) -> str:
    """Return the page of a spectrum (`studies.spectrum.spectrum`)."""
    able = [row for row in found["systems"] if row["refused"] is None and not row["failed"]]
    others = [row for row in found["systems"] if row["refused"] is not None]
    limit_ms = found["tpot_limit_s"] * 1000
    title = f"{found['model']} on {len(able)} systems"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Decoding at {found['context']:,} tokens of context. All users: the batch with the most tokens a second of "
        f"which each takes {limit_ms:g} ms at most. Simulated; published figures stand beside and were not used.</p>",
        svg(scatter_figure(able)),
        _table(HEADINGS, (cells(row) for row in able)),
        f"<p>{html.escape(order_line(found['order']))}</p>",
        "<h2>How each line came about</h2>",
        "<p>Every run can be repeated; <code>dieshot spectrum --explain SYSTEM</code> opens one: its stalls, and how "
        "far it moves over the ranges of what is assumed.</p>",
        _table({"system": "left", "one user": "left", "all users": "left"}, map(_commands, able)),
    ]
    if others:
        parts += [
            "<h2>Systems that cannot, and the largest model that they run</h2>",
            _table({"system": "left", "why": "left"}, ((row["system"], row["refused"]) for row in others)),
            _table({"model": "left", **HEADINGS}, ((row["model"], *cells(row)) for row in others if row["model"])),
        ]
    published = [(row["system"], each) for row in found["systems"] for each in row["published"]]
    if published:
        parts += ["<h2>Published figures</h2>", _table(_PUBLISHED, (_figure(*each) for each in published))]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


_PUBLISHED = {"system": "left", "figure": "left", "value": "right", "kind": "left", "conditions": "left"}


def _figure(system: str, figure: Mapping[str, Any]) -> tuple[str, ...]:
    value = f"{figure['value']:,g} {figure['unit']}"
    return system, figure["metric"], value, f"{figure['kind']} ({figure['source']})", figure["conditions"]


def _commands(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["system"], row["command"], row["command_at_batch"] or "-"


def _table(headings: Mapping[str, str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th class="{justify}">{html.escape(each)}</th>' for each, justify in headings.items())
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{justify}">{html.escape(cell)}</td>'
            for cell, justify in zip(row, headings.values(), strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
