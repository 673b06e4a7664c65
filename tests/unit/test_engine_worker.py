"""Worker processes: results in order, exceptions passed on, a death told and never waited for."""

import multiprocessing
import os

import pytest

from dieshot.simulator.engine.worker import WorkerLostError, map_in_workers


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(processes: int) -> None:
    assert map_in_workers(abs, [-3, 1, -2, 0], processes) == [3, 1, 2, 0]
    assert multiprocessing.active_children() == []


def test_no_tasks_start_no_workers() -> None:
    assert map_in_workers(abs, [], 2) == []


def test_an_exception_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal for int"):
        map_in_workers(int, ["1", "x", "2"], 2)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("n_tasks", [1, 2, 7])
def test_a_dead_worker_is_told(n_tasks: int) -> None:
    with pytest.raises(WorkerLostError, match="ended in the middle of its work"):
        map_in_workers(os._exit, [9] * n_tasks, 2)
    assert multiprocessing.active_children() == []
