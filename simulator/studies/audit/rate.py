"""Claimed rates and latencies of tokens against what memory, arithmetic and capacity allow."""

from __future__ import annotations

import math
import re

from dieshot.simulator.studies.audit.capacity import capacity_findings
from dieshot.simulator.studies.audit.catalogue import Catalogue
from dieshot.simulator.studies.audit.claim import Claim
from dieshot.simulator.studies.audit.demand import CACHE_BITS, MS_PER_S, TERA, Demand, demands, size
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure

MOST_USERS = 64  # that the rate of a deployment may be of
SLACK = 1.01  # rounding in a claim's digits is no excess
_OUTPUT = re.compile(r"output_(.+)_(\d+)_(\d+)_tok_s")


def user_rate(claim: Claim) -> float | None:
    """Return the tokens a second of one user; None where the claim is of something else."""
    if claim.metric.startswith("latency_per_token"):
        return MS_PER_S / claim.value if claim.value else math.inf
    return claim.value


def user_findings(claim: Claim, catalogue: Catalogue) -> list[Finding]:
    """Return what bounds say of the rate, or the latency, of one user."""
    rate = user_rate(claim)
    found = capacity_findings(claim, catalogue) if claim.chips else []
    if rate is None:
        return found
    asked = list(demands(claim, catalogue))
    findings = [each for demand in asked if (each := _stream(demand, rate)) is not None]
    if len(asked) > 1:  # any of the formats will do
        findings = sorted(findings, key=lambda each: each.factor or 0.0)[:1]
    return found + findings


def _stream(demand: Demand, rate: float) -> Finding | None:
    """Return what the memory bandwidth says of one stream."""
    bound = demand.steps_per_s
    if bound is None:
        return None
    sources = demand.subject.sources("memory_TBps", "second_TBps")
    line = _line(demand, bound)
    if rate <= bound * SLACK:
        return Finding(Verdict.PLAUSIBLE, f"{line}; claimed {figure(rate)}", "memory bandwidth", 1.0, sources=sources)
    name = demand.subject.words("narrow_format")
    narrow = Demand(demand.subject, demand.model, name, demand.n_chips, demand.stated) if name else None
    drafts = demand.subject.number("speculative_tokens") or 1.0
    if demand.stated and rate <= bound * drafts:
        text = f"{line}; claimed {figure(rate)}, {figure(rate / bound)} tokens a pass"
        under = "speculative decoding"
        return Finding(Verdict.READING, text, "memory bandwidth", rate / bound, (), under, sources=sources)
    if demand.stated:
        text = f"{line}; claimed {figure(rate)}, {figure(rate / bound)}x"
        return Finding(Verdict.ABOVE, text, "memory bandwidth", rate / bound, sources=sources)
    most = max(demand.n_chips, int(demand.subject.number("group_chips") or 1))
    needed = next(
        (n for n in range(demand.n_chips + 1, most + 1) if (demand.on(n).steps_per_s or 0) * SLACK >= rate), None
    )
    if needed is not None:
        text = f"{line}; {figure(rate)} takes {needed:,} chips that share every weight"
        return Finding(
            Verdict.READING,
            text,
            "memory bandwidth",
            rate / bound,
            (),
            f"{needed:,} chips for one user",
            sources=sources,
        )
    if narrow is not None and narrow.steps_per_s and rate <= narrow.steps_per_s * SLACK:
        text = f"{line}; claimed {figure(rate)}; {name} allows {figure(narrow.steps_per_s)}"
        return Finding(Verdict.READING, text, "memory bandwidth", rate / bound, (), f"{name} weights", sources=sources)
    top = demand.on(most).steps_per_s or bound
    if rate <= top * drafts:
        text = f"{_line(demand.on(most), top)}; claimed {figure(rate)}, {figure(rate / top)} tokens a pass"
        return Finding(
            Verdict.READING, text, "memory bandwidth", rate / top, (), "speculative decoding", sources=sources
        )
    text = f"{_line(demand.on(most), top)}; claimed {figure(rate)}, {figure(rate / top)}x"
    return Finding(Verdict.ABOVE, text, "memory bandwidth", rate / top, sources=sources)


def _line(demand: Demand, bound: float) -> str:
    assert demand.tier is not None
    chips = f"{demand.n_chips:,} x " if demand.n_chips > 1 else ""
    memory = f"{chips}{figure(demand.tier.bytes_per_s / TERA)} TB/s of {demand.tier.name}"
    return f"{memory} over {size(demand.active_bytes)} of {demand.format} weights = {figure(bound)} tok/s a user"


def system_findings(claim: Claim, catalogue: Catalogue, counts: str) -> list[Finding]:
    """Return what bounds say of the rate of all users of `chips`; counts: system, chip or unstated."""
    found = capacity_findings(claim, catalogue) if claim.chips or counts == "chip" else []
    if any(each.verdict is Verdict.ABOVE for each in found):
        found += _whole_deployment(claim, catalogue, counts)
    asked = list(demands(claim, catalogue))
    for demand in asked:
        found += _aggregate(claim, catalogue, demand, counts)
    if len(asked) > 1:  # the formats that do not fit are told already; the best of the others counts
        best = [each for each in found if each.bound in ("memory bandwidth and capacity", "compute")]
        found = [each for each in found if each not in best[1:]]
    return found + _measured(claim, catalogue)


def _aggregate(claim: Claim, catalogue: Catalogue, demand: Demand, counts: str) -> list[Finding]:
    found = []
    prompt, output = claim.workload or (0, 1)
    peak, rate = demand.peak_flops, claim.value
    if peak is not None:
        flops = 2 * demand.model.n_active * rate
        have = peak * demand.n_chips
        product = f"{figure(rate)} tok/s x 2 x {figure(demand.model.n_active)}"
        line = f"{product} = {figure(flops / 1e15)} PFLOP/s of {figure(have / 1e15)}"
        found.append(_compute(claim, demand, line, flops, have, prompt, output))
    if demand.tier is None or (not demand.stated and counts == "unstated"):
        return [each for each in found if each is not None]
    tokens = prompt + output if claim.workload else (catalogue.constants["context_tokens"].value)
    cache = demand.model.kv_bytes_per_token * CACHE_BITS / 8 * tokens
    room = max(0.0, demand.tier.capacity_bytes * demand.n_chips - demand.weight_bytes)
    most_users = room / cache if cache else math.inf
    bandwidth = demand.tier.bytes_per_s * demand.n_chips
    best = most_users * bandwidth / (demand.active_bytes + most_users * cache) if cache else math.inf
    spare = bandwidth - rate * cache
    users = max(1.0, rate * demand.active_bytes / spare) if spare > 0 else math.inf
    line = (
        f"{size(demand.tier.capacity_bytes * demand.n_chips)} less {size(demand.weight_bytes)} of weights hold "
        f"{figure(most_users)} caches of {figure(tokens)} tokens in 8 bit ({size(cache)}); at most {figure(best)} tok/s"
    )
    sources = demand.subject.sources("memory_GB", "memory_TBps", "second_GB", "second_TBps")
    bound = "memory bandwidth and capacity"
    if rate > best * SLACK:
        share = output / (prompt + output)
        if claim.workload and rate * share <= best * SLACK:
            text = f"{line} of output; {figure(rate)} claimed, of which output {figure(rate * share)}"
            found.append(
                Finding(Verdict.READING, text, bound, rate / best, (), "prompt tokens counted", sources=sources)
            )
        elif not claim.workload and peak is not None and 2 * demand.model.n_active * rate <= peak * demand.n_chips:
            text = f"{line} of output; claimed {figure(rate)}"
            found.append(
                Finding(Verdict.READING, text, bound, rate / best, (), "prompt tokens counted", sources=sources)
            )
        else:
            text = f"{line}; claimed {figure(rate)}"
            found.append(Finding(Verdict.ABOVE, text, bound, rate / best, sources=sources))
    elif users <= SLACK:
        found.append(
            Finding(Verdict.PLAUSIBLE, f"{line}; claimed {figure(rate)}, one user", bound, 1.0, sources=sources)
        )
    elif counts == "unstated" or counts == "chip":
        alone = figure(bandwidth / demand.active_bytes)
        text = f"{line}; one user gets {alone} tok/s, {figure(rate)} takes {math.ceil(users)} users"
        found.append(Finding(Verdict.READING, text, bound, None, (), f"a batch of {math.ceil(users)}", sources=sources))
    else:
        text = f"{line}; claimed {figure(rate)}, which takes {math.ceil(users)} users"
        found.append(Finding(Verdict.PLAUSIBLE, text, bound, 1.0, sources=sources))
    return [each for each in found if each is not None]


def _compute(
    claim: Claim, demand: Demand, line: str, flops: float, have: float, prompt: int, output: int
) -> Finding | None:
    sources = demand.subject.sources(f"peak_{demand.format}_TFLOPS")
    if flops > have * SLACK:
        narrow = demand.subject.words("narrow_format")
        other = (
            Demand(demand.subject, demand.model, narrow, demand.n_chips, demand.stated).peak_flops if narrow else None
        )
        if other and flops <= other * demand.n_chips and not claim.precision:
            text = f"{line} in {demand.format}, {figure(other * demand.n_chips / 1e15)} in {narrow}"
            return Finding(Verdict.READING, text, "compute", flops / have, (), f"{narrow} arithmetic", sources=sources)
        return Finding(Verdict.ABOVE, f"{line} in {demand.format}", "compute", flops / have, sources=sources)
    whole = flops * (prompt + output) / output if claim.workload else flops
    if whole > have * SLACK:
        text = f"{line}; as output tokens alone, prompts of {prompt:,} for {output:,}, {figure(whole / 1e15)}"
        return Finding(Verdict.READING, text, "compute", whole / have, (), "prompt tokens counted", sources=sources)
    return Finding(Verdict.PLAUSIBLE, f"{line} in {demand.format}", "compute", 1.0, sources=sources)


def _whole_deployment(claim: Claim, catalogue: Catalogue, counts: str) -> list[Finding]:
    """Return the reading as the rate of the published deployment, where one chip does not hold the model."""
    for demand in demands(claim, catalogue):
        n = demand.chips_deployed or 0
        bound = demand.on(n).steps_per_s
        is_of_one = counts != "system" or claim.chips == 1
        if is_of_one and n > demand.n_chips and bound is not None and claim.value <= bound * MOST_USERS:
            text = f"the published deployment has {n:,} chips, which may give one user {figure(bound)} tok/s"
            under, sources = f"{n:,} chips, the whole deployment", demand.subject.sources(demand.deployment)
            return [Finding(Verdict.READING, text, "capacity", None, (), under, sources=sources)]
    return []


def _measured(claim: Claim, catalogue: Catalogue) -> list[Finding]:
    """Return how a rate compares with published full-batch rates of the subject, with and without the prompts."""
    subject, model = catalogue.subject(claim.system), catalogue.models.get(claim.model)
    if model is None or claim.chips is None:
        return []
    known = [(name, _OUTPUT.fullmatch(name)) for name in subject.facts]
    rates = [(subject.facts[name], int(key[2]), int(key[3])) for name, key in known if key and key[1] == model.family]
    if claim.workload is not None:
        rates = [each for each in rates if each[1:] == claim.workload]
    if not rates:
        return []
    each_chip = claim.value / claim.chips
    parts = [f"{figure(fact.value)} ({prompt:,} in, {out:,} out)" for fact, prompt, out in rates]
    line = f"{figure(each_chip)} tok/s a chip; output measured: {', '.join(parts)}"
    sources = tuple(dict.fromkeys(source for fact, *_ in rates for source in fact.sources))
    top, low = max(fact.value for fact, *_ in rates), min(fact.value for fact, *_ in rates)
    if len(rates) > 1 and each_chip <= top * 1.15:
        if each_chip <= low * 1.15:
            return [Finding(Verdict.PLAUSIBLE, line, factor=1.0, sources=sources)]
        best = max(rates, key=lambda each: each[0].value)
        under = f"requests that generate more than they read ({best[1]:,} in, {best[2]:,} out)"
        return [Finding(Verdict.READING, line, None, each_chip / low, (), under, sources=sources)]
    fact, prompt, out = max(rates, key=lambda each: each[0].value * (1 + each[1] / each[2]))
    both = fact.value * (prompt + out) / out
    text = f"{line}; with prompts {figure(both)}"
    if each_chip <= fact.value * 1.15:
        return [Finding(Verdict.PLAUSIBLE, text, factor=1.0, sources=sources)]
    if each_chip <= both * 1.15:
        return [
            Finding(Verdict.READING, text, None, each_chip / fact.value, (), "prompt tokens counted", sources=sources)
        ]
    return [Finding(Verdict.PLAUSIBLE, text, factor=each_chip / both, sources=sources)]
