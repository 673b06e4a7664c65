"""Which expert gets how many rows."""

from collections.abc import Sequence

import numpy as np

from dieshot.traces.error import TraceError, show, unknown

LAWS = ("balanced", "power_law")
# The heavier of the two exponents that measured mixture-of-experts kernels are usually reported for (1.01, 1.2).
POWER_LAW_EXPONENT = 1.2


def draw_routing(
    tokens: int, experts: int, top_k: int, seed: int | Sequence[int], law: str, exponent: float = POWER_LAW_EXPONENT
) -> tuple[int, ...]:
    """Return the rows of each expert: `tokens * top_k` in all, none above `tokens` (experts of a token differ).

    balanced: as even as possible, the first experts get the remainder; the seed is not used.
    power_law: the popularity of an expert is drawn from the density x**-exponent on [1, tokens], and the rows are
    shared out by popularity (largest remainder, capped at `tokens`). Same seed, same rows.
    """
    if tokens < 1 or experts < 1 or not 1 <= top_k <= experts:
        problem = f"{tokens} tokens, {experts} experts, top_k {top_k}, expected 1 <= top_k <= experts and tokens >= 1"
        raise TraceError("draw_routing", "", problem)
    if law not in LAWS:
        raise unknown("draw_routing", "routing", law, LAWS)
    if not 1.0 < exponent <= 10.0:
        raise TraceError("draw_routing", "exponent", f"expected above 1 and at most 10, got {show(exponent)}")
    if law == "balanced":
        rows, remainder = divmod(tokens * top_k, experts)
        return (rows + 1,) * remainder + (rows,) * (experts - remainder)
    generator = np.random.Generator(np.random.PCG64(seed))
    return _share_out(tokens * top_k, _popularity(generator.random(experts), tokens, exponent), tokens)


def _popularity(uniform: np.ndarray[tuple[int], np.dtype[np.float64]], tokens: int, exponent: float) -> list[float]:
    """Return draws of the truncated power law by inversion of its distribution function."""
    if tokens == 1:
        # The law is a point at 1: only the order of the draws says who is chosen.
        return [1.0 + 1e-6 * float(draw) for draw in uniform]
    power = 1.0 - exponent
    top = float(tokens) ** power
    return [(1.0 + float(draw) * (top - 1.0)) ** (1.0 / power) for draw in uniform]


def _share_out(total: int, popularity: list[float], cap: int) -> tuple[int, ...]:
    """Share `total` rows in proportion to popularity, none above `cap`; total <= cap * len(popularity)."""
    order = sorted(range(len(popularity)), key=lambda i: (-popularity[i], i))
    shares = [0.0] * len(popularity)
    left, weight_left = float(total), sum(popularity)
    # In order of popularity: who would get more than the cap gets the cap, the rest is shared among the others.
    for i in order:
        shares[i] = min(float(cap), left * popularity[i] / weight_left)
        left -= shares[i]
        weight_left -= popularity[i]
        if weight_left <= 0:
            break
    rows = [int(share) for share in shares]
    by_remainder = sorted(order, key=lambda i: rows[i] - shares[i])
    _add_missing(rows, by_remainder, total - sum(rows), cap)
    return tuple(rows)


def _add_missing(rows: list[int], order: list[int], missing: int, cap: int) -> None:
    while missing > 0:
        for i in order:
            if missing and rows[i] < cap:
                rows[i] += 1
                missing -= 1
