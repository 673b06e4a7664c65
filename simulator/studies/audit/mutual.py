"""Claims against each other: the same figure twice, ratios against what they are ratios of, speed against size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dieshot.simulator.studies.audit.catalogue import Catalogue, Ratio
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure
from dieshot.simulator.studies.audit.rule import PUBLISHED

SAME = 1.15  # figures no farther apart say the same
ENDS = 1.5  # ranges whose upper ends are farther apart do not
LARGER = 4.0  # a model so many times larger ..
SLOWER = 1.5  # .. is slower by this factor or more, unless something beside weights sets the speed


def mutual_findings(claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    """Return what the other claims say of a claim."""
    found = _repeated(claim, claims, catalogue)
    ratio = catalogue.metrics[claim.metric].ratio
    if ratio is not None:
        found += _ratio(claim, ratio, claims, catalogue)
    if "size" in catalogue.metrics[claim.metric].checks:
        found += _size(claim, claims, catalogue)
    return found


def _repeated(claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    """Return the contradictions among claims of one quantity about one thing."""
    apart = [(each, off) for each in _alike(claim, claims, catalogue) if (off := _apart(claim, each, catalogue)) > SAME]
    if not apart:
        return []
    worst, factor = max(apart, key=lambda pair: pair[1])
    line = f"{figure(claim.value)} here, {figure(worst.value)} {claim.unit} in {worst.id}: {figure(factor)}x apart"
    return [Finding(Verdict.CONTRADICTS, line, None, factor, tuple(each.id for each, _ in apart))]


def _alike(claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> Iterator[Claim]:
    metric, group = catalogue.metrics[claim.metric], catalogue.subject(claim.system).group
    for each in claims if metric.compared else ():
        is_same = catalogue.metrics[each.metric].quantity == metric.quantity
        if not is_same or each.id == claim.id or catalogue.subject(each.system).group != group:
            continue
        if not _ends_of_one_range(claim, each) and _under_one_condition(claim, each, catalogue):
            yield each


def _under_one_condition(one: Claim, other: Claim, catalogue: Catalogue) -> bool:
    """Return whether two claims differ in nothing that they both state; rates have to state the same."""
    stated: list[tuple[object, object]] = [(one.chips, other.chips), (one.year, other.year), (one.users, other.users)]
    stated += [(one.precision, other.precision), (_family(one, catalogue), _family(other, catalogue))]
    if catalogue.metrics[one.metric].rate is not None and (
        one.chips != other.chips or bool(one.model) != bool(other.model)
    ):
        return False
    return all(mine == theirs for mine, theirs in stated if mine and theirs)


def _ends_of_one_range(one: Claim, other: Claim) -> bool:
    return one.range is not None and one.range == other.range and one.section == other.section


def _apart(one: Claim, other: Claim, catalogue: Catalogue) -> float:
    """Return by what factor two claims miss each other."""
    (low, high), (least, most) = one.interval(catalogue.wordings), other.interval(catalogue.wordings)
    bounded = math.isfinite(high) and math.isfinite(most)
    if (
        (one.range or one.worded)
        and (other.range or other.worded)
        and bounded
        and max(high, most) > ENDS * min(high, most)
    ):
        return max(high, most) / max(min(high, most), 1e-30)
    if low > most:
        return low / most if most > 0 else math.inf
    if least > high:
        return least / high if high > 0 else math.inf
    return 1.0


def _ratio(claim: Claim, ratio: Ratio, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    """Return whether a ratio is that of the figures that it is about."""
    low, high = claim.interval(catalogue.wordings)
    if ratio.fact is not None:
        return _ratio_of_facts(claim, ratio, catalogue)
    pairs = list(_pairs(claim, ratio, claims, catalogue))
    if not pairs:
        return []
    judged = [(mine, theirs, each, max(low / each, each / high if high else math.inf)) for mine, theirs, each in pairs]
    mine, theirs, quotient, off = min(judged, key=lambda each: each[3])
    line = f"{figure(mine.value)} ({mine.id}) and {figure(theirs.value)} ({theirs.id}) are {figure(quotient)}x apart"
    if off <= SAME:
        return [Finding(Verdict.PLAUSIBLE, f"{line}; claimed {figure(claim.value)}", factor=1.0)]
    against = tuple(dict.fromkeys(each.id for pair in judged for each in pair[:2]))
    return [Finding(Verdict.CONTRADICTS, f"{line}; claimed {figure(claim.value)}", None, off, against)]


def _ratio_of_facts(claim: Claim, ratio: Ratio, catalogue: Catalogue) -> list[Finding]:
    assert ratio.fact is not None
    own, other = (
        catalogue.subject(claim.system).facts.get(ratio.fact),
        catalogue.subject(ratio.against).facts.get(ratio.fact),
    )
    if own is None or other is None or not other.value:
        return []
    low, high = claim.interval(catalogue.wordings)
    quotient = own.value / other.value
    off = max(low / quotient, quotient / high if high else math.inf)
    line = f"{figure(own.value)} over {figure(other.value)} ({ratio.fact}) = {figure(quotient)}"
    line += f"; claimed {figure(claim.value)}"
    sources = tuple(dict.fromkeys((*own.sources, *other.sources)))
    if "assumed" in (own.kind, other.kind):
        return [Finding(Verdict.PLAUSIBLE, f"{line} (assumed)", factor=max(1.0, off), sources=sources)]
    if off <= SAME:
        return [Finding(Verdict.CONFIRMED, line, factor=1.0, sources=sources)]
    return [Finding(Verdict.CONTRADICTS, line, None, off, (PUBLISHED,), sources=sources)]


def _pairs(
    claim: Claim, ratio: Ratio, claims: Sequence[Claim], catalogue: Catalogue
) -> Iterator[tuple[Claim, Claim, float]]:
    against = catalogue.subject(ratio.against)
    rivals = {against.group, *(catalogue.subject(name).group for name in against.members)}
    group, model = catalogue.subject(claim.system).group, catalogue.models.get(claim.model)
    fit = [each for each in claims if each.metric in ratio.of and each.value > 0 and each.id != claim.id]
    fit = [each for each in fit if model is None or _family(each, catalogue) == model.family]
    for mine in (each for each in fit if catalogue.subject(each.system).group == group):
        for theirs in (each for each in fit if catalogue.subject(each.system).group in rivals):
            if mine.metric != theirs.metric or _family(mine, catalogue) != _family(theirs, catalogue):
                continue
            scale = _per_chip(mine) / _per_chip(theirs) if model is None else 1.0
            quotient = theirs.value / mine.value if ratio.inverse else mine.value / theirs.value
            yield mine, theirs, quotient * scale


def _per_chip(claim: Claim) -> float:
    """Return the factor that makes the rate of a system one of a chip."""
    return 1.0 / claim.chips if claim.metric.startswith("system_") and claim.chips else 1.0


def _family(claim: Claim, catalogue: Catalogue) -> str | None:
    model = catalogue.models.get(claim.model)
    return model.family if model else claim.model or None


def _size(claim: Claim, claims: Sequence[Claim], catalogue: Catalogue) -> list[Finding]:
    """Return the claims that give a much larger or smaller model the same speed on the same system."""
    model, group = catalogue.models.get(claim.model), catalogue.subject(claim.system).group
    if model is None:
        return []
    same = []
    for each in claims:
        other = catalogue.models.get(each.model)
        if other is None or each.metric != claim.metric or catalogue.subject(each.system).group != group:
            continue
        (large, slow), (small, fast) = sorted(
            [(model.n_active, claim.value), (other.n_active, each.value)], reverse=True
        )
        if large > LARGER * small and fast < SLOWER * slow:
            same.append((each, large / small, slow / fast))
    if not same:
        return []
    each, larger, faster = max(same, key=lambda found: found[2])
    line = f"{figure(claim.value)} here, {figure(each.value)} in {each.id}: "
    line += f"{figure(larger)}x the weights, {figure(faster)}x the speed"
    return [Finding(Verdict.CONTRADICTS, line, None, larger * faster, tuple(one.id for one, *_ in same))]
