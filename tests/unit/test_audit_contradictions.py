"""The audit against contradictions that were worked out by hand: it agrees, or says why not."""

from accuracy.audit import agreements, items, rows

from dieshot.simulator.studies.audit.study import shipped_claims

LEAST_IN_FULL = 93
LEAST_FACTORS = 48


def test_every_item_agrees_or_is_listed_with_a_reason() -> None:
    reasons = {row["item"]: row["reason"] for row in rows("claims_disagreements.csv")}
    assert all(reasons.values())
    found = agreements()
    assert len(found) == 126
    assert {each.item.number for each in found if not each.full} == set(reasons)
    assert sum(each.full for each in found) >= LEAST_IN_FULL
    assert sum(bool(each.factor) for each in found) >= LEAST_FACTORS


def test_items_name_claims_that_come_along() -> None:
    ids = {claim.id for claim in shipped_claims()}
    assert len(ids) == 325
    assert {id for item in items() for id in item.claims} <= ids
