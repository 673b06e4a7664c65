"""Engines by name: each is the module of that name here which has `open_engine`."""

from __future__ import annotations

import importlib
from pathlib import Path

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.sweep.engines.engine import Engine
from dieshot.simulator.sweep.engines.options import EngineOptions

OPENER = "open_engine"


def engine_names() -> list[str]:
    """Return the engines there are."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if f"\ndef {OPENER}(" in file.read_text(encoding="utf-8")]


def check_engine(name: str) -> None:
    """Raise InputError where there is no engine of that name."""
    names = engine_names()
    if name not in names:
        raise InputError("unknown engine", key="--engine", value=name, expected=listed(names),
                         nearest=nearest_name(name, names))  # fmt: skip


def engine_named(name: str, options: EngineOptions) -> Engine:
    """Return an engine, open."""
    module = importlib.import_module(f"dieshot.simulator.sweep.engines.{name}")
    opened: Engine = getattr(module, OPENER)(options)
    return opened
