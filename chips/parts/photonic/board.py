"""What the parts of a photonic chip tell each other about the steps of a program: who is done with what, and when."""

from __future__ import annotations

import simpy

from dieshot.chips.parts.photonic.program import PhotonicProgram


class Board:
    """Events of every step and operator, with the time of some (fs).

    loaded: a step's data are in SRAM. passed: its blocks are timed (value: when the last result is there). done: its
    results are there. issued: the sequencer has begun an operator; completed: it is over.
    """

    def __init__(self, env: simpy.Environment, program: PhotonicProgram) -> None:
        n, n_operators = len(program.steps), len(program.issue_fs)
        self.env = env
        self.program = program
        self.loaded = [env.event() if step.load else None for step in program.steps]
        self.passed = [env.event() for _ in range(n)]
        self.done = [env.event() for _ in range(n)]
        self.issued = [env.event() for _ in range(n_operators)]
        self.completed = [env.event() for _ in range(n_operators)]
        self.loaded_fs = [0] * n
        self.done_fs = [0] * n
        self.issued_fs = [0] * n_operators

    def succeed_at(self, event: simpy.Event, time_fs: int) -> None:
        """Let an event happen at a time that is not past."""
        event._ok = True
        event._value = None
        self.env.schedule(event, delay=max(0, time_fs - int(self.env.now)))

    def until(self, time_fs: int) -> simpy.Timeout:
        """Return the event of a time; at once if it is past."""
        return self.env.timeout(max(0, time_fs - int(self.env.now)))
