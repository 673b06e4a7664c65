"""Engines by name: each is the module of that name here which has `open_engine`."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.sweep.engines.engine import Engine
from dieshot.simulator.sweep.engines.options import EngineOptions

OPENER, CHECKER, PREPARER = "open_engine", "check_options", "prepare"


def engine_names() -> list[str]:
    """Return the engines there are."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if f"\ndef {OPENER}(" in file.read_text(encoding="utf-8")]


def check_engine(name: str, options: EngineOptions) -> None:
    """Raise InputError where there is no engine of that name, or it cannot work with the options."""
    names = engine_names()
    if name not in names:
        raise InputError("unknown engine", key="--engine", value=name, expected=listed(names),
                         nearest=nearest_name(name, names))  # fmt: skip
    getattr(_module(name), CHECKER, lambda options: None)(options)


def prepared_engine(name: str, options: EngineOptions) -> Engine | None:
    """Return an engine that may be open before it is known what there is to do; None where it may not."""
    prepared: Engine | None = getattr(_module(name), PREPARER, lambda options: None)(options)
    return prepared


def engine_named(name: str, options: EngineOptions) -> Engine:
    """Return an engine, open."""
    opened: Engine = getattr(_module(name), OPENER)(options)
    return opened


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"dieshot.simulator.sweep.engines.{name}")
