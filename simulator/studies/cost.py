"""Cost of tokens: what a system costs to own and to feed while it serves them, or to rent."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.simulator.params import CostParameters, PriceParameters

TOKENS = 1e6
SECONDS_PER_HOUR = 3600
WATTS_PER_KILOWATT = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars per million tokens. basis: 'purchase' (capital written off, and electricity) or 'rent' (which holds
    electricity and the owner's margin)."""

    basis: str
    capital_usd: float
    electricity_usd: float

    def record(self) -> dict[str, str | float]:
        """Return it for JSON."""
        return {
            "usd_per_mtoken": self.usd_per_mtoken,
            "basis": self.basis,
            "capital_usd": self.capital_usd,
            "electricity_usd": self.electricity_usd,
        }

    @property
    def usd_per_mtoken(self) -> float:
        """Both together."""
        return self.capital_usd + self.electricity_usd


def cost_of_tokens(
    price: PriceParameters | None, n_chips: int, tokens_per_s: float, power_w: float, costs: CostParameters
) -> Cost | None:
    """Return the cost of a million tokens at a rate of `tokens_per_s` and a power of `power_w`, all chips together.

    By the purchase price where it is known, else by the rent; None where neither is. In the share of time without
    requests the capital (or the rent) is paid all the same, and no power is drawn.
    """
    if price is None or tokens_per_s <= 0:
        return None
    tokens_per_hour = tokens_per_s * SECONDS_PER_HOUR / TOKENS
    if price.purchase_per_chip is not None:
        hours = costs.service_life * costs.utilisation
        capital = price.purchase_per_chip * n_chips / hours / tokens_per_hour
        kilowatts = power_w / WATTS_PER_KILOWATT
        return Cost("purchase", capital, kilowatts * costs.pue * costs.electricity / tokens_per_hour)
    if price.rent_per_chip is not None:
        return Cost("rent", price.rent_per_chip * n_chips / costs.utilisation / tokens_per_hour, 0.0)
    return None
