"""Watching a run: observers by the name of what happened; nothing is called when nobody listens.

An observer must not change the run. One that raises ends it: a result that was only half observed must not look whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EVENTS = ("operator_done", "step_done")


class Hooks:
    """Observers of a machine.

    operator_done(operator, start_fs, cells): an operator was carried out; repetitions of a known step or layer are not
    carried out again. step_done(placement): a stage has finished a step (a StepPlacement).
    """

    def __init__(self) -> None:
        self._observers: dict[str, list[Callable[..., None]]] = {}

    def add(self, event: str, observer: Callable[..., None]) -> None:
        """Call `observer` whenever `event` happens; ValueError for an event that does not exist."""
        if event not in EVENTS:
            raise ValueError(f"unknown event {event!r}, expected one of {', '.join(EVENTS)}")
        self._observers.setdefault(event, []).append(observer)

    def __contains__(self, event: str) -> bool:
        return event in self._observers

    def call(self, event: str, *facts: Any) -> None:
        """Tell all observers of an event, in the order in which they were added."""
        for observer in self._observers[event]:
            observer(*facts)
