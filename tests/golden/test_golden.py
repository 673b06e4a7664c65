"""Every system of the catalog still gives the totals that were recorded (`python tests/golden/update.py`)."""

import json
from pathlib import Path

import pytest
from golden.update import figures, golden_file

from dieshot import list_names


@pytest.mark.parametrize("system", list_names("systems"))
def test_totals_are_those_recorded(system: str) -> None:
    file = golden_file(system)
    text = file.read_text()
    assert len(text.splitlines()) < 60
    assert figures(system, file.name.removesuffix(f"_{system}.json")) == json.loads(text)


def test_no_record_is_left_over() -> None:
    known = {golden_file(system) for system in list_names("systems")}
    assert set(Path(__file__).parent.glob("*.json")) == known
