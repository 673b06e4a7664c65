"""What the parts of a systolic chip tell each other about the steps of a program: who is done with what, and when."""

from __future__ import annotations

import numpy as np
import simpy

from dieshot.chips.parts.systolic.core_program import LOAD, CoreProgram


class StepBoard:
    """Events of every step and operator, with the time at which each happened (fs).

    loaded: a step's data are in the scratchpad; multiplied: its arrays have begun to hand out results (value: first and
    last result); done: its results are there. issued: the sequencer has begun an operator; completed: it is over.
    """

    def __init__(self, env: simpy.Environment, program: CoreProgram) -> None:
        n, n_operators = len(program.steps), len(program.issue_fs)
        self.env = env
        self.program = program
        self.loaded = [env.event() if loads else None for loads in (program.steps[:, LOAD] > 0).tolist()]
        self.multiplied = [env.event() for _ in range(n)]
        self.done = [env.event() for _ in range(n)]
        self.issued = [env.event() for _ in range(n_operators)]
        self.completed = [env.event() for _ in range(n_operators)]
        self.loaded_fs = np.zeros(n, np.int64)
        self.done_fs = np.zeros(n, np.int64)
        self.issued_fs = np.zeros(n_operators, np.int64)

    def succeed_at(self, event: simpy.Event, time_fs: int) -> None:
        """Let an event happen at a time that is not past."""
        event._ok = True
        event._value = None
        self.env.schedule(event, delay=max(0, time_fs - int(self.env.now)))

    def until(self, time_fs: int) -> simpy.Timeout:
        """Return the event of a time; at once if it is past."""
        return self.env.timeout(max(0, time_fs - int(self.env.now)))
