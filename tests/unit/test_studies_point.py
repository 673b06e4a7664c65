"""Points: short runs by request."""

import shlex

import pytest

from dieshot.simulator.cli.main import app
from dieshot.simulator.studies.point import PointRequest, decode_point, point, points

SHORT = decode_point("tpu-v6e-1", "qwen3-0.6b", 2, 64)


def test_a_point_is_the_run_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    request = decode_point("tpu-v6e-1", "qwen3-0.6b", 2, 64, precision="int8", sets=("chip.core_clock=*1.1",))
    words = shlex.split(request.command)
    assert words[0] == "dieshot"
    app([*words[1:], "--no-log", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    figures = point(request).figures
    for key in ("time_per_output_token_s", "energy_per_token_j", "batch", "cached", "precision"):
        assert told[key] == figures[key], key


def test_each_distinct_request_runs_once_and_all_are_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from dieshot.simulator.studies import point as module

    asked: list[PointRequest] = []
    monkeypatch.setattr(module, "point", lambda request: asked.append(request) or len(asked))
    other = decode_point("tpu-v6e-1", "qwen3-0.6b", 1, 64)
    assert points([SHORT, other, SHORT]) == [1, 2, 1]
    assert asked == [SHORT, other]


def test_workers_give_the_same_points() -> None:
    requests = [SHORT, PointRequest("tpu-v6e-1", "llama-3-70b")]
    assert [(each.refused, (each.summary or {}).get("energy_j")) for each in points(requests, processes=2)] == [
        (each.refused, (each.summary or {}).get("energy_j")) for each in points(requests)
    ]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (PointRequest("tpu-v6e-1", "llama-3-70b"), "does not fit"),
        (PointRequest("no-such", "llama-3-70b"), "no-such"),
        (decode_point("tpu-v6e-1", "qwen3-0.6b", 1, 1 << 20), "cached"),
    ],
)
def test_a_refusal_is_told(request_: PointRequest, why: str) -> None:
    found = point(request_)
    assert found.summary is None and found.refused is not None and why in found.refused
    with pytest.raises(ValueError, match="dieshot run"):
        _ = found.figures
