"""Every system of the catalog still gives the totals that were recorded (`python tests/golden/update.py`)."""

import json

import pytest
from golden.update import figures, golden_file

from dieshot import list_names


@pytest.mark.parametrize("system", list_names("systems"))
def test_totals_are_those_recorded(system: str) -> None:
    text = golden_file(system).read_text()
    assert len(text.splitlines()) < 40
    assert figures(system) == json.loads(text)


def test_no_record_is_left_over() -> None:
    known = {golden_file(system) for system in list_names("systems")}
    assert set(golden_file("").parent.glob("*.json")) == known
