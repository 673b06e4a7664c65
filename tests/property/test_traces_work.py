"""Closed forms against counting one by one."""

from hypothesis import given
from hypothesis import strategies as st

from dieshot.traces import LAWS, draw_routing
from dieshot.traces.work import keys_read, visible_keys

lengths = st.integers(1, 40)


def seen(query: int, kv_len: int, window: int) -> list[int]:
    """Return the positions that the query at position `query` sees."""
    return [key for key in range(kv_len) if key <= query and (not window or query - key < window)]


@given(lengths, lengths, st.integers(0, 50))
def test_visible_keys_equal_a_count(q_len: int, earlier: int, window: int) -> None:
    kv_len = q_len + earlier - 1
    views = [seen(query, kv_len, window) for query in range(kv_len - q_len, kv_len)]
    assert visible_keys(q_len, kv_len, True, window) == sum(map(len, views))
    assert keys_read(q_len, kv_len, window) == len(set().union(*views))
    assert visible_keys(q_len, kv_len, False, 0) == q_len * kv_len


@given(st.integers(1, 500), st.integers(1, 64), st.data(), st.integers(0, 1 << 63), st.sampled_from(LAWS))
def test_routing_shares_out_all_rows(tokens: int, experts: int, data: st.DataObject, seed: int, law: str) -> None:
    top_k = data.draw(st.integers(1, experts))
    rows = draw_routing(tokens, experts, top_k, seed, law)
    assert len(rows) == experts and sum(rows) == tokens * top_k and max(rows) <= tokens and min(rows) >= 0
