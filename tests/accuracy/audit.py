"""How far the audit agrees with contradictions that were worked out by hand: run as a script, it prints the table."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dieshot.simulator.studies.audit.finding import Finding, Verdict
from dieshot.simulator.studies.audit.rule import PUBLISHED
from dieshot.simulator.studies.audit.study import Audited, audit

DATA = Path(__file__).resolve().parents[1] / "data"
CLOSE = 1.5  # a factor no farther from the one worked out by hand is the same


@dataclass(frozen=True)
class Item:
    """A contradiction by hand: its claims, its classes, and the factor if there is one number."""

    number: str
    claims: tuple[str, ...]
    classes: tuple[str, ...]
    factor: float | None


@dataclass(frozen=True)
class Agreement:
    """Classes of an item that the audit found too, and whether some finding has its factor."""

    item: Item
    found: tuple[str, ...]
    factor: bool | None

    @property
    def full(self) -> bool:
        return set(self.found) == set(self.item.classes)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def items() -> list[Item]:
    return [
        Item(row["item"], tuple(row["claims"].split()), tuple(row["classes"].split()),
             float(row["factor"]) if row["factor"] else None)
        for row in rows("claims_contradictions.csv")
    ]  # fmt: skip


def agreement(item: Item, audited: dict[str, Audited]) -> Agreement:
    claims = [audited[id] for id in item.claims]
    findings = [each for claim in claims for each in claim.findings]
    found = tuple(each for each in item.classes if claims and holds(each, item, claims, findings))
    factor = None
    if item.factor is not None:
        known = [each.factor for each in findings if each.factor and each.factor > 1]
        factor = any(max(each / item.factor, item.factor / each) <= CLOSE for each in known)
    return Agreement(item, found, factor)


def holds(kind: str, item: Item, claims: Sequence[Audited], findings: Sequence[Finding]) -> bool:
    """Return whether the audit says of an item's claims what a class says."""
    verdicts = {claim.verdict.verdict for claim in claims}
    if kind in ("SELF", "CROSS"):
        inside = set(item.claims)
        clashes = [each for each in findings if each.verdict is Verdict.CONTRADICTS]
        return any(len(inside) == 1 or inside & set(each.against) for each in clashes)
    if kind == "PHYS":
        exceeded = (Verdict.ABOVE, Verdict.READING)
        return any(each.verdict in exceeded and each.bound is not None and (each.factor or 0) > 1 for each in findings)
    if kind == "FACT":
        return any(PUBLISHED in each.against or each.verdict is Verdict.ABOVE for each in findings)
    if kind == "CONV":
        return any(each.verdict is Verdict.READING for each in findings)
    if kind == "OK":
        return verdicts <= {Verdict.CONFIRMED, Verdict.PLAUSIBLE}
    if kind == "UNTESTABLE":
        return verdicts == {Verdict.UNCHECKED}
    if kind == "CATEGORY":
        return verdicts <= {Verdict.READING, Verdict.UNCHECKED}
    return verdicts != {Verdict.UNCHECKED}  # WEAK, MINOR: some finding, whichever


def agreements() -> list[Agreement]:
    audited = {each.claim.id: each for each in audit(simulate=False)}
    return [agreement(item, audited) for item in items()]


def main() -> None:
    found = agreements()
    for each in found:
        if not each.full or each.factor is False:
            print(each.item.number, "by hand", *each.item.classes, "| found", *each.found, "| factor", each.factor)
    full, part = sum(each.full for each in found), sum(bool(each.found) and not each.full for each in found)
    factors = [each.factor for each in found if each.factor is not None]
    print(f"{len(found)} items: {full} agree, {part} in part, {len(found) - full - part} do not;", end=" ")
    print(f"{sum(factors)} of {len(factors)} factors within {CLOSE}x")


if __name__ == "__main__":
    main()
