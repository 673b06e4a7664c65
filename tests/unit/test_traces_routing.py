"""Which experts get the rows: sums, caps, determinism and skew."""

import pytest

from dieshot.traces import LAWS, TraceError, draw_routing


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("tokens", "experts", "top_k"), [(1, 8, 2), (1, 128, 8), (7, 8, 8), (1024, 128, 8), (33, 6, 1)]
)
def test_rows_add_up_and_no_expert_sees_a_token_twice(law: str, tokens: int, experts: int, top_k: int) -> None:
    rows = draw_routing(tokens, experts, top_k, 3, law)
    assert len(rows) == experts and sum(rows) == tokens * top_k and 0 <= min(rows) <= max(rows) <= tokens


def test_balanced_rows_differ_by_one_at_most() -> None:
    assert draw_routing(10, 4, 1, 0, "balanced") == (3, 3, 2, 2)


def test_power_law_is_skewed_and_drawn_from_the_seed() -> None:
    first = draw_routing(4096, 128, 8, 1, "power_law")
    assert first == draw_routing(4096, 128, 8, 1, "power_law") != draw_routing(4096, 128, 8, 2, "power_law")
    # Balanced is 256 rows an expert; the law's top tenth takes far more than a tenth.
    assert sum(sorted(first)[-13:]) > 0.4 * sum(first)


def test_a_single_token_reaches_different_experts_under_different_seeds() -> None:
    drawn = {draw_routing(1, 64, 4, seed, "power_law") for seed in range(20)}
    assert len(drawn) == 20 and all(sorted(rows)[-5:] == [0, 1, 1, 1, 1] for rows in drawn)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TraceError, match="expected 1 <= top_k <= experts"):
        draw_routing(1, 4, 5, 0, "balanced")
    with pytest.raises(TraceError, match="unknown 'uniform', expected one of balanced, power_law"):
        draw_routing(1, 4, 2, 0, "uniform")
    with pytest.raises(TraceError, match=r"exponent: expected above 1 and at most 10, got 1\.0"):
        draw_routing(1, 4, 2, 0, "power_law", exponent=1.0)
