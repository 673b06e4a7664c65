"""What the person who starts a sweep may say about its engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """workers: how many (None: the engine's own choice); folder: where an engine may keep files of its own."""

    folder: Path
    workers: int | None = None
