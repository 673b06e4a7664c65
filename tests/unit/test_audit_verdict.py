"""Verdicts on claims whose truth is known by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from dieshot.simulator.studies.audit.catalogue import load_catalogue
from dieshot.simulator.studies.audit.finding import Finding, Verdict, figure, gravest, said
from dieshot.simulator.studies.audit.study import Audited, audit, counted

HEAD = "id,system,metric,value,unit,model,chips,batch_or_users,precision,note"


def judged(folder: Path, row: str, simulate: bool = False) -> Audited:
    file = folder / "claims.csv"
    file.write_text(f"{HEAD}\nmine,{row}\n")
    (found,) = audit(file, simulate=simulate)
    return found


H100, USER, ALL = "NVIDIA H100 SXM", "decode_tokens_per_s_user", "system_tokens_per_s"


@pytest.mark.parametrize(
    ("row", "bound", "factor"),
    [
        # 3.35e12 B/s / 70.55e9 B = 47.5 tok/s
        (f"{H100},{USER},60,tok/s,llama-3-70b,1,,FP8,", "memory bandwidth", 60 / 47.48),
        (f"{H100},{USER},400,tok/s,llama-3-70b,8,,FP8,", "memory bandwidth", 400 / 379.9),
        (f"{H100},latency_per_token_ms,15,ms/token,llama-3-70b,1,,FP8,", "memory bandwidth", 21.06 / 15),
        # 141.1 GB in 80 GB
        (f"{H100},{USER},10,tok/s,llama-3-70b,1,,FP16,", "capacity", 141.1 / 80),
        (f"{H100},chips_for_model,1,chips,llama-3-70b,1,,FP16,", "capacity", 141.1 / 80),
        # 600,000 x 2 x 70.55e9 = 84.7 PFLOP/s of 15.8
        (f"{H100},{ALL},600,ktok/s,llama-3-70b,8,,FP8,", "compute", 84.66 / 15.83),
        # 70.55e9 products of 0.3 pJ
        (f"{H100},energy_per_token_J,5,mJ/token,llama-3-70b,8,,,", "energy floor", 0.02117 / 0.005),
        ("Taalas HC1,chips_for_model,10,chips,deepseek-r1-671b,10,,,", "capacity", 671 / 80.3),
        ("Cerebras WSE-3,remote_sram_access_latency_cycles,2,cycles,,,,,", "hops", 1932 / 2),
        ("H100-sized die,matrix_multipliers_1024x1024,2,arrays,,1,,,", "area", 2 / 0.5156),
    ],
)
def test_what_is_above_a_bound_says_which_and_by_what_factor(
    tmp_path: Path, row: str, bound: str, factor: float
) -> None:
    verdict = judged(tmp_path, row).verdict
    assert (verdict.verdict, verdict.bound) == (Verdict.ABOVE, bound)
    assert verdict.factor == pytest.approx(factor, rel=2e-3)
    assert said(verdict) == f"above bound: {bound}, {figure(verdict.factor or 0)}x"


@pytest.mark.parametrize(
    ("row", "under"),
    [
        (f"{H100},{USER},60,tok/s,llama-3-70b,,,FP8,", "2 chips for one user"),
        ("NVIDIA B200,tokens_per_s_unspecified,900,tok/s,llama-3-70b,1,,FP8,", "a batch of 9"),
        ("NVIDIA B200,link_bandwidth_GBps,1800,GB/s,,,,,", "both directions of the link added up"),
        ("NVIDIA B200,peak_matrix_TFLOPS,18,PFLOPS,,,,,", "two of four weights zero"),
        (f'{H100},{ALL},10000,tok/s,llama-3-70b,8,,FP8,"2048 in, 128 out"', "prompt tokens counted"),
        ("Groq LPU,decode_tokens_per_s_user,1600,tok/s,llama-3-70b,,,,", "speculative decoding"),
    ],
)
def test_what_a_counting_rule_makes_reachable_says_which(tmp_path: Path, row: str, under: str) -> None:
    found = judged(tmp_path, row)
    assert under in {each.under for each in found.findings}
    assert found.verdict.verdict in (Verdict.READING, Verdict.CONTRADICTS)


def test_inside_all_bounds_is_plausible(tmp_path: Path) -> None:
    verdict = judged(tmp_path, "NVIDIA H200,decode_tokens_per_s_user,60,tok/s,llama-3-70b,1,,FP8,").verdict
    assert verdict.verdict is Verdict.PLAUSIBLE
    assert "= 68 tok/s a user; claimed 60" in verdict.arithmetic


def test_a_published_figure_confirms_or_contradicts(tmp_path: Path) -> None:
    assert judged(tmp_path, "NVIDIA B200,tdp_W,1000,W,,1,,,").verdict.verdict is Verdict.CONFIRMED
    verdict = judged(tmp_path, "NVIDIA B200,tdp_W,0.5,kW,,1,,,").verdict
    assert said(verdict) == "contradicts published"
    assert verdict.factor == pytest.approx(2)


def test_a_user_s_claim_is_held_against_those_that_come_along(tmp_path: Path) -> None:
    verdict = judged(tmp_path, "Cerebras CS-3,lease_USD_per_year,200000,USD/year,,1,,,").verdict
    assert verdict.verdict is Verdict.CONTRADICTS
    assert "a01-cs3-lease" in verdict.against or "a01-cs3-1t-cost" in verdict.against


def test_what_nothing_is_known_about_is_said_to_be_so(tmp_path: Path) -> None:
    verdict = judged(tmp_path, "NVIDIA H100 SMX,tdp_W,700,W,,1,,,").verdict
    assert verdict.verdict is Verdict.UNCHECKED
    assert verdict.arithmetic == "nothing is known about 'NVIDIA H100 SMX'; did you mean 'NVIDIA H100 SXM'?"


def test_an_assumption_refutes_nothing_within_its_range(tmp_path: Path) -> None:
    # 1 cycle: light takes 1.12 at 1.1 GHz, 0.86 at the 0.85 GHz that the clock may have
    light = [
        each
        for each in judged(tmp_path, "Cerebras WSE-3,remote_sram_access_latency_cycles,1,cycles,,,,,").findings
        if each.bound == "light"
    ]
    assert [each.verdict for each in light] == [Verdict.PLAUSIBLE]
    assert light[0].arithmetic.endswith("it stands within the ranges of what is assumed")


def test_a_run_stands_beside_the_claim(tmp_path: Path) -> None:
    found = judged(tmp_path, "Cerebras WSE-3,decode_tokens_per_s_user,3200,tok/s,llama-3.1-8b,1,1,,", simulate=True)
    (run,) = found.runs
    assert run.request.command == "dieshot run cs3 llama-3.1-8b --batch 1 --cached 1022 --prompt 1 --generate 2"
    assert run.value == pytest.approx(3200, rel=0.15)
    assert any("simulated on cs3" in each.arithmetic for each in found.findings)


def test_the_gravest_finding_is_the_verdict_and_blame_is_not_shared() -> None:
    clash = Finding(Verdict.CONTRADICTS, "", against=("other",), charged=False)
    sure, near, far = (Finding(verdict, "", factor=factor) for verdict, factor in
                       ((Verdict.CONFIRMED, 1.0), (Verdict.ABOVE, 2.0), (Verdict.ABOVE, 3.0)))  # fmt: skip
    assert gravest([sure, clash]) is sure
    assert gravest([sure, near, far]) is far


def test_figures_that_hold_are_not_charged_with_those_that_do_not() -> None:
    found = {each.claim.id: each for each in audit(simulate=False)}
    assert len(found) == sum(counted(list(found.values())).values()) == 325
    for id in ("a01-h100-tdp", "a01-h100-bw", "a01-b200-tdp-txt", "a4-b200-fp4-tflops", "a4-h100-int8", "a4-tpu8i-hbm",
               "a4-tpu8i-sram", "a01-hbm3e-stack-bw", "a4-wse3-area-ratio", "a3-wse3-bw", "a3-wse3-sram",
               "a4-nature-tops", "a4-reck-mzi", "a4-wse3-8b"):  # fmt: skip
        assert found[id].verdict.verdict is Verdict.CONFIRMED, id
    clashes = [each for each in found["a3-wse3-bw"].findings if each.verdict is Verdict.CONTRADICTS]
    assert clashes and not any(each.charged for each in clashes)
    assert found["a01-wse3-bw"].verdict.verdict is Verdict.CONTRADICTS


def test_only_names_a_system_a_metric_or_both() -> None:
    from dieshot.simulator.errors import InputError

    systems = {each.claim.system for each in audit(only="corsair", simulate=False)}
    assert systems == {"d-Matrix Corsair"}
    both = audit(only="Groq/tokens_per_s_per_W", simulate=False)
    assert [each.claim.id for each in both] == ["a0-groq-tokspw-intro", "a01-groq-tokspw-demo"]
    with pytest.raises(InputError, match="no such claim"):
        audit(only="nothing", simulate=False)


def test_any_figure_of_any_metric_gets_a_verdict(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    models, chips, systems = ["", "llama-3-70b", "gpt-4", "none"], ["", "1", "3000000"], list(catalogue.subjects)
    rows = [
        f"x{i},{systems[i % len(systems)]},{metric.name},{value},{metric.unit},{models[i % 4]},{chips[i % 3]},,,{note}"
        for i, (metric, value, note) in enumerate(
            itertools.product(
                catalogue.metrics.values(),
                (0, 1e-30, 7, 1e30),
                ("", "at least", '"9 in, 0 out; range 1.2.3 to 4"', '"9 in, 1 out; range 0 to 0; over 1 years"'),
            )
        )
    ]
    file = tmp_path / "claims.csv"
    file.write_text("\n".join((HEAD, *rows)) + "\n")
    found = audit(file, simulate=False)
    assert len(found) == len(rows)
    assert all(each.verdict.arithmetic and json.dumps(each.node()) for each in found)


def test_an_energy_of_a_bit_stands_beside_our_links(tmp_path: Path) -> None:
    found = judged(tmp_path, "Copper SerDes (generic),energy_per_bit_pJ,9.5,pJ/bit,,,,,")
    (line,) = (each.arithmetic for each in found.findings if each.arithmetic.startswith("our links"))
    assert line.startswith("our links: 10 (copper-retimed), ")
    assert line.endswith(" pJ/bit; claimed 9.5")
