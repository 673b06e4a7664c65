"""The figures of a run: times per token, energy, utilization, stalls, bounds, the operators that take the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.studies.account import FJ_PER_JOULE, Account
from dieshot.simulator.studies.cost import cost_of_tokens
from dieshot.simulator.studies.limit import Kinds, kinds_of, limit
from dieshot.simulator.studies.setup import SystemSetup
from dieshot.simulator.studies.split import Split

if TYPE_CHECKING:
    from dieshot.simulator.studies.ledger import Ledger


def summarize(over: Split, ledger: Ledger, end_fs: int) -> dict[str, Any]:
    """Return the summary, ready for JSON; the same for the same inputs. Times per token are the users' mean."""
    setup, parts = over.setup, over.parts
    trace = parts.trace
    account = ledger.close()
    totals = account.close(end_fs)
    kinds = kinds_of(ledger.specs, setup.chip.main_kind, setup.chip.resources)
    n_parts = over.micro_batches
    read = trace.n_prefill_steps * n_parts
    first_fs = sum(ledger.ends_fs[read - n_parts : read])
    decode_steps = len(trace.steps) - trace.n_prefill_steps
    first_s = first_fs / n_parts / FS_PER_SECOND
    spans_fs = sum(ledger.ends_fs[-n_parts:]) - first_fs
    per_token_s = spans_fs / n_parts / FS_PER_SECOND / decode_steps if decode_steps else None
    n_tokens = over.batch * max(1, trace.generate)
    total_s = end_fs / FS_PER_SECOND
    return {
        "system": setup.name,
        "model": trace.model.name,
        "batch": over.batch,
        "micro_batches": over.micro_batches,
        "prompt": trace.prompt,
        "cached": trace.cached,
        "generate": trace.generate,
        "prefill_chunk": _chunk(over),
        "precision": trace.precision,
        "kv_precision": trace.kv_precision,
        "sparsity": trace.sparsity,
        "density": trace.density,
        "tensor_parallel": parts.tensor_parallel,
        "pipeline_parallel": parts.pipeline_parallel,
        "data_parallel": over.data_parallel,
        "chips": over.n_chips,
        "fabric": setup.fabric_parameters.values.name if setup.fabric_parameters else None,
        "system_chips": setup.system.values.n_chips,
        "total_time_s": total_s,
        "time_to_first_token_s": first_s,
        "time_per_output_token_s": per_token_s,
        "tokens_per_s_user": 1 / per_token_s if per_token_s else None,
        "tokens_per_s_system": n_tokens / total_s,
        "tokens_per_s_system_with_prompt": over.batch * (trace.prompt + trace.generate) / total_s,
        "energy_per_token_j": totals.energy_fj / FJ_PER_JOULE / n_tokens,
        "energy_j": totals.energy_j(),
        "average_power_w": totals.average_power_w,
        "static_power_w": sum(totals.static_fj.values()) / FJ_PER_JOULE / total_s,
        "cost": _cost(setup, n_tokens / total_s, totals.average_power_w),
        "chip_power_w": totals.average_power_w / over.n_chips,
        "published_chip_power_w": dict(setup.chip.published_power_w),
        "cycles": -(-end_fs // ledger.specs[0].clock_period_fs),
        "utilization": totals.utilization(),
        "main_kind": kinds.main,
        "stall_fractions": totals.fractions(kinds.main),
        "component_states": totals.states(),
        "bounds": {
            "roofline_s": ledger.bounds.seconds(over.micro_batches),
            "serial_s": ledger.serial_fs / FS_PER_SECOND + _gaps_s(over),
        },
        "operators": _operators(ledger, end_fs, account, kinds),
        "parameters_read": sum(len(resolved.given_read()) for resolved in setup.resolved.values()),
        "assumed_parameters_read": _assumed(setup),
    }


def _cost(setup: SystemSetup, tokens_per_s: float, power_w: float) -> dict[str, str | float] | None:
    """Return what the output tokens cost, all chips of the system paid for; None without a known price."""
    values = setup.system.values
    cost = cost_of_tokens(values.price, values.n_chips, tokens_per_s, power_w, setup.cost.values)
    return cost.record() if cost else None


def _chunk(over: Split) -> int | None:
    """Return the tokens of a prompt's step; a run leans on the system's own, and so does its replay."""
    _ = over.setup.system.values.prefill_chunk
    return over.parts.trace.chunk


def _gaps_s(over: Split) -> float:
    host = over.setup.system.values.host
    steps = len(over.parts.trace.steps) * over.micro_batches
    return steps * (host.step_gap if host else 0) / FS_PER_SECOND


def _operators(ledger: Ledger, end_fs: int, account: Account, kinds: Kinds) -> list[dict[str, Any]]:
    """Return time by phase and operator name, longest first within a phase; shares are of a user's time.

    bound: what a roofline says; limit: what the simulated parts did or waited for (`limit.limit`).
    """
    totals = ledger.operator_totals()
    totals.sort(key=lambda total: (total.phase != "prefill", -total.time_fs, total.name))
    return [
        {
            "phase": total.phase,
            "name": total.name,
            "kind": total.kind,
            "count": total.count,
            "bound": total.bound,
            "limit": limit(kinds, account.done_in(total.cells), total.time_fs),
            "time_s": total.time_fs / FS_PER_SECOND,
            "share": total.time_fs / end_fs / ledger.over.micro_batches,
        }
        for total in totals
    ]


def _assumed(setup: SystemSetup) -> list[dict[str, Any]]:
    return [
        {
            "path": f"{prefix}.{record.path}",
            "value": record.value,
            "unit": record.unit,
            "range": record.range and list(record.range),
            "why": record.why,
        }
        for prefix, resolved in setup.resolved.items()
        for record in resolved.assumed_read()
    ]
