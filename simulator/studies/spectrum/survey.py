"""One system of the spectrum: what a single stream gets, what all users together get, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dieshot.simulator.engine.cell import BUSY, IDLE, STATES
from dieshot.simulator.params import find_path, list_names
from dieshot.simulator.studies.cost import cost_of_tokens
from dieshot.simulator.studies.plan import plan
from dieshot.simulator.studies.point import Point, PointRequest, decode_point, point, refusal, step_floor_s
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.spectrum.batch import batch_sizes, best_batch, largest_that
from dieshot.traces import load_model_config

FIGURES = (
    "chips",
    "chips_used",
    "precision",
    "tokens_per_s_user",
    "energy_per_token_single_j",
    "stall",
    "stall_share",
    "utilization",
    "batch",
    "tokens_per_s_system",
    "tokens_per_s_user_at_batch",
    "energy_per_token_j",
    "power_w",
    "usd_per_mtoken",
    "usd_basis",
    "usd_electricity_per_mtoken",
    "assumed_share",
    "assumed_parameters",
    "command",
    "command_at_batch",
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is asked of every system: the model, tokens of context, the time that a token may take where users share."""

    model: str
    context: int
    tpot_limit_s: float
    sets: tuple[str, ...] = ()


def survey(asked: Survey, system: str) -> dict[str, Any]:
    """Return a system's row; where it cannot run the model, why, and the figures of the largest one that it can.

    batch, tokens_per_s_system: None where even one user waits longer than the limit; energy and cost are its own then.

    failed: the error of a run that broke down, None if none did.
    """
    try:
        return _surveyed(asked, system)
    except Exception as error:  # one system's fault is told in its row, not at the price of all others
        return _empty(system, None) | {"failed": f"{type(error).__name__}: {error}"}


def _surveyed(asked: Survey, system: str) -> dict[str, Any]:
    request = decode_point(system, asked.model, 1, asked.context, sets=asked.sets)
    single = point(request)
    refused = single.refused
    if refused is not None:
        model = largest_model(system, asked)
        if model is None:
            return _empty(system, refused)
        single = point(decode_point(system, model, 1, asked.context, sets=asked.sets))
        if single.refused is not None:
            return _empty(system, f"{refused}; {model}: {single.refused}")
    return _row(asked, single, refused)


def largest_model(system: str, asked: Survey) -> str | None:
    """Return the model of the catalog with the most parameters, fewer than what was asked for, that the system runs."""
    most = load_model_config(find_path("models", asked.model)).n_parameters
    sizes = {}
    for name in list_names("models"):
        config = load_model_config(find_path("models", name))
        if config.generates and config.n_parameters < most and asked.context < config.max_position_embeddings:
            sizes[name] = config.n_parameters
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if refusal(decode_point(system, name, 1, asked.context, sets=asked.sets)) is None:
            return name
    return None


def _row(asked: Survey, single: Point, refused: str | None) -> dict[str, Any]:
    summary = single.figures
    best = _busiest(asked, single.request, summary)
    figures = best.figures if best else summary  # where even one user waits too long, its own energy and cost
    setup = set_up(single.request.system, asked.sets)
    rate, power = figures["batch"] / figures["time_per_output_token_s"], steady_power_w(figures)
    cost = cost_of_tokens(setup.system.values.price, figures["system_chips"], rate, power, setup.cost.values)
    reason, share = main_stall(summary)
    return {
        "system": summary["system"],
        "model": summary["model"],
        "refused": refused,
        "failed": None,
        "chips": summary["system_chips"],
        "chips_used": summary["chips"],
        "precision": summary["precision"],
        "tokens_per_s_user": summary["tokens_per_s_user"],
        "energy_per_token_single_j": steady_energy_j(summary),
        "stall": reason,
        "stall_share": share,
        "utilization": summary["utilization"],
        "batch": figures["batch"] if best else None,
        "tokens_per_s_system": rate if best else None,
        "tokens_per_s_user_at_batch": figures["tokens_per_s_user"] if best else None,
        "energy_per_token_j": steady_energy_j(figures),
        "power_w": power,
        "usd_per_mtoken": cost.usd_per_mtoken if cost else None,
        "usd_basis": cost.basis if cost else None,
        "usd_electricity_per_mtoken": cost.electricity_usd if cost and cost.basis == "purchase" else None,
        "assumed_share": assumed_share(summary),
        "assumed_parameters": len(summary["assumed_parameters_read"]),
        "command": single.request.command,
        "command_at_batch": best.request.command if best else None,
    }


def _busiest(asked: Survey, single: PointRequest, summary: dict[str, Any]) -> Point | None:
    """Return the point of the batch with the most tokens a second whose users still get theirs in time."""
    measured = {1: Point(single, summary, None)}

    def request(batch: int) -> PointRequest:
        return decode_point(single.system, single.model, batch, asked.context, sets=single.sets)

    def time_s(batch: int) -> float:
        if batch not in measured:
            measured[batch] = point(request(batch))
        return float(measured[batch].figures["time_per_output_token_s"])

    planned = plan(single.system, single.model, **single.options)
    n_stages = planned.wanted.pipeline_parallel if planned.setup.chip.pipelines_users else 1
    sizes = batch_sizes(n_stages, planned.setup.replicas)
    last = largest_that(lambda batch: batch == 1 or refusal(request(batch)) is None, sizes)
    batch = best_batch(time_s, lambda size: step_floor_s(request(size)), sizes[: last + 1], asked.tpot_limit_s)
    return measured[batch] if batch is not None else None


def steady_energy_j(summary: dict[str, Any]) -> float:
    """Return the energy of a token while tokens keep coming: events by token, static power by the time of a token.

    A short run fills and drains its stages; the time of that is not charged.
    """
    n_tokens = summary["batch"] * summary["generate"]
    static_w = summary["static_power_w"]
    events_j = summary["energy_per_token_j"] - static_w * summary["total_time_s"] / n_tokens
    return float(events_j + static_w * summary["time_per_output_token_s"] / summary["batch"])


def steady_power_w(summary: dict[str, Any]) -> float:
    """Return the power of all chips while tokens keep coming."""
    return steady_energy_j(summary) * float(summary["batch"] / summary["time_per_output_token_s"])


def main_stall(summary: dict[str, Any]) -> tuple[str, float]:
    """Return what the chip's main parts waited for the longest, and its share of the cycles in which they had work.

    Parts that never wait are idle for a share of all cycles, or busy.
    """
    shares = summary["stall_fractions"]
    idle = shares.get(STATES[IDLE], 0.0)
    waits = {state: share for state, share in shares.items() if state not in (STATES[IDLE], STATES[BUSY])}
    if not waits:
        return (STATES[IDLE], float(idle)) if idle else (STATES[BUSY], 1.0)
    reason = max(waits, key=lambda state: (waits[state], state))
    return reason.removeprefix("stall_"), float(waits[reason] / (1 - idle))


def assumed_share(summary: dict[str, Any]) -> float:
    """Return the share of the parameters that the run read that are assumed."""
    return float(len(summary["assumed_parameters_read"]) / max(1, summary["parameters_read"]))


def _empty(system: str, refused: str | None) -> dict[str, Any]:
    return {"system": system, "model": None, "refused": refused, "failed": None} | dict.fromkeys(FIGURES)
