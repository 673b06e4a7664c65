"""Cost documents: what it takes to keep a system running, whatever the system."""

from __future__ import annotations

from dieshot.simulator.params.quantity import AtLeastOne, DollarsPerKilowattHour, Hours, Ratio
from dieshot.simulator.params.schema import Schema


class CostParameters(Schema):
    """What a bought system costs beside its price.

    service_life: over which the price is written off in equal parts. utilisation: share of that time in which it serves
    tokens. electricity: of the site. pue: energy of the site per energy of the computers in it.
    """

    name: str
    service_life: Hours
    utilisation: Ratio
    electricity: DollarsPerKilowattHour
    pue: AtLeastOne
