"""A part that exists on the die: a named SimPy process."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy


class Component:
    """Base of all parts: keeps the environment and starts `run` as a SimPy process."""

    def __init__(self, env: simpy.Environment, name: str) -> None:
        self.env = env
        self.name = name
        self.process = env.process(self.run())

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Act in simulated time; subclasses say how."""
        raise NotImplementedError
