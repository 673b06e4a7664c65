"""What tokens cost."""

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.params import CostParameters, PriceParameters
from dieshot.simulator.studies.cost import cost_of_tokens
from dieshot.simulator.studies.plan import plan
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up

COSTS = CostParameters(name="x", service_life=1000.0, utilisation=0.5, electricity=0.1, pue=1.5)
SHORT = {"prompt": 8, "generate": 2}


def test_a_bought_system_by_hand() -> None:
    # 2 chips of 100 USD over 500 busy hours: 0.4 USD an hour; 2 kW x 1.5 x 0.1 USD/kWh: 0.3 USD an hour
    cost = cost_of_tokens(PriceParameters(purchase_per_chip=100.0, rent_per_chip=7.0), 2, 1e6 / 3600, 2000.0, COSTS)
    assert cost is not None and cost.basis == "purchase"
    assert (cost.capital_usd, cost.electricity_usd) == (pytest.approx(0.4), pytest.approx(0.3))
    assert cost.usd_per_mtoken == pytest.approx(0.7) == cost.record()["usd_per_mtoken"]


def test_rent_holds_the_electricity() -> None:
    cost = cost_of_tokens(PriceParameters(rent_per_chip=2.0), 3, 1e6 / 3600, 2000.0, COSTS)
    assert cost is not None and (cost.basis, cost.usd_per_mtoken) == ("rent", pytest.approx(12.0))


@pytest.mark.parametrize("price", [None, PriceParameters()])
def test_nothing_is_said_without_a_price(price: PriceParameters | None) -> None:
    assert cost_of_tokens(price, 1, 1.0, 1.0, COSTS) is None


def test_a_run_says_what_its_tokens_cost() -> None:
    summary = run("h100-sxm", "qwen3-0.6b", **SHORT).summary
    dear = run("h100-sxm", "qwen3-0.6b", **SHORT, sets=("cost.electricity=*2", "cost.pue=1.25")).summary
    assert summary["cost"]["basis"] == "purchase"
    assert dear["cost"]["electricity_usd"] == pytest.approx(2 * summary["cost"]["electricity_usd"])
    assert dear["cost"]["capital_usd"] == summary["cost"]["capital_usd"]
    assert dear["time_per_output_token_s"] == summary["time_per_output_token_s"]


def test_costs_are_documents_of_their_own() -> None:
    setup = set_up("h100-sxm")
    assert setup.cost.values.service_life == pytest.approx(5 * 8766)
    assert set(setup.documents) == {"system", "chip", "cost"}
    with pytest.raises(InputError, match=r"cost\.pue: too small"):
        set_up("h100-sxm", ["cost.pue=0.9"])


def test_a_plan_refuses_without_running() -> None:
    options = dict.fromkeys(("precision", "kv_precision", "tensor_parallel", "pipeline_parallel", "prefill_chunk"))
    with pytest.raises(InputError, match="does not fit"):
        plan("h100-sxm", "llama-3-70b", batch=1, generate=1, prompt=8, **{**options, "precision": "bf16"}).check()
    plan("h100-sxm", "qwen3-0.6b", batch=1, generate=1, prompt=8, **options).check()
