"""Keys of runs: anything that can move a result moves the key, and nothing else does."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.simulator.params import configs_folder, list_names
from dieshot.simulator.studies.plan import plan
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep import code, key
from dieshot.simulator.sweep.code import code_digest, code_files
from dieshot.simulator.sweep.key import Keys

BASE = PointRequest("dgx-h100", "llama-3-8b", batch=8, prompt=128, generate=4)
SETS = (
    "chip.hbm.pin_rate=*1.5",
    "chip.sm.resident_ctas=4",
    "fabric.hop_latency=1us",
    "system.host.step_gap=2us",
    "cost.pue=1.2",
)
OTHERS: dict[str, Any] = {
    "system": "dgx-h200",
    "model": "llama-3.1-8b",
    "batch": 9,
    "prompt": 129,
    "generate": 5,
    "cached": 1,
    "precision": "bf16",
    "kv_precision": "fp8",
    "tensor_parallel": 4,
    "pipeline_parallel": 2,
    "prefill_chunk": 64,
    "sets": ("fabric=photonic-fabric",),
    "micro_batches": 2,
    "seed": 1,
    "routing": "power_law",
    "sparsity": "2:4",
    "density": 0.5,
}


def key_of(request: PointRequest) -> bytes:
    return Keys()(request)


def test_every_field_of_a_request_counts() -> None:
    assert OTHERS.keys() == PointRequest.__dataclass_fields__.keys()
    keys = Keys()
    changed = [keys(replace(BASE, **{name: value})) for name, value in OTHERS.items()]
    assert len({keys(BASE), *changed}) == len(OTHERS) + 1
    assert all(len(each) == 16 for each in changed)


@pytest.mark.parametrize("system", list_names("systems"))
def test_an_option_left_out_is_the_same_as_written_out(system: str) -> None:
    model = "llama-3.1-8b" if system.startswith("hc1") else "qwen3-0.6b"
    request = PointRequest(system, model, batch=6, prompt=512, generate=2)
    found = plan(system, model, **{**request.options, "sets": ()})
    trace = found.trace
    written = replace(
        request,
        precision=trace.precision,
        kv_precision=trace.kv_precision,
        tensor_parallel=found.wanted.tensor_parallel,
        pipeline_parallel=found.wanted.pipeline_parallel,
        micro_batches=found.micro_batches,
        prefill_chunk=trace.chunk or 10_000,
        density=trace.density,
    )
    assert key_of(written) == key_of(request)


def test_a_change_of_the_system_decides_what_is_left_out() -> None:
    halved = replace(BASE, sets=("system.partition.tensor_parallel=4",))
    assert key_of(halved) == key_of(replace(halved, tensor_parallel=4))
    assert key_of(halved) != key_of(replace(halved, tensor_parallel=8))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("chip.hbm.pin_rate=*2",), ("hbm.pin_rate = *2.0",)),
        (("chip.hbm.pin_rate=6Gbit/s",), (" chip.hbm.pin_rate=6.0 Gbit/s ",)),
        (("fabric=photonic-fabric",), ("system.fabric= photonic-fabric",)),
        (("chip.hbm.pin_rate=6Gbit/s", "chip.hbm.pin_rate=*2"), ("chip.hbm.pin_rate=*2", "chip.hbm.pin_rate=6Gbit/s")),
        (("chip.sm.resident_ctas=4",), ("chip.sm.resident_ctas=4.0",)),
    ],
)
def test_overrides_written_in_another_way_are_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert key_of(replace(BASE, sets=one)) == key_of(replace(BASE, sets=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("chip.hbm.pin_rate=*2",), ("chip.hbm.pin_rate=*2.5",)),
        (("chip.hbm.pin_rate=*2",), ("chip.hbm.pin_rate=/2",)),
        (("chip.hbm.pin_rate=*2",), ()),
        (("chip.hbm.pin_rate=6Gbit/s",), ("chip.hbm.pin_rate=6Mbit/s",)),
        (("chip.sm.resident_ctas=4",), ("chip.sm.count=4",)),
        (
            ("chip.sm.resident_ctas=4", "chip.sm.resident_ctas=8"),
            ("chip.sm.resident_ctas=8", "chip.sm.resident_ctas=4"),
        ),
        # a timing that follows from the pin rate is scaled as it is when its turn comes
        (
            ("chip.hbm.pin_rate=*2", "chip.hbm.memory.timings.tCK=*2"),
            ("chip.hbm.memory.timings.tCK=*2", "chip.hbm.pin_rate=*2"),
        ),
    ],
)
def test_overrides_that_differ_are_not(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert key_of(replace(BASE, sets=one)) != key_of(replace(BASE, sets=other))


@settings(max_examples=30)
@given(st.permutations(SETS))
def test_the_order_of_overrides_of_different_paths_does_not_count(sets: list[str]) -> None:
    assert KEYS(replace(BASE, sets=tuple(sets))) == KEYS(replace(BASE, sets=SETS))


KEYS = Keys()
AFTER_A_RUN = {"compare.py", "difference.py"}  # hold the figures of two runs against each other


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a system whose chip, links and costs lie beside it, and a model."""
    configs = configs_folder()
    for kind, name in (("chips", "h100-sxm"), ("links", "nvlink4-nvswitch"), ("costs", "data-centre")):
        shutil.copy(configs / kind / f"{name}.yaml", tmp_path / f"{name}.yaml")
    shutil.copy(configs / "models" / "llama-3-8b.json", tmp_path / "model.json")
    (tmp_path / "base.yaml").write_text(
        "name: base\nchip: ./h100-sxm.yaml\nfabric: ./nvlink4-nvswitch.yaml\ncost: ./data-centre.yaml\n"
        'n_chips: {value: 8, unit: "1", kind: assumed, range: [1, 8], why: a test}\n'
        "partition: {tensor_parallel: 8, pipeline_parallel: 1}\n"
    )
    (tmp_path / "top.yaml").write_text("extends: base\nname: top\n")
    return tmp_path


def own_key(folder: Path) -> bytes:
    return key_of(replace(BASE, system=str(folder / "top.yaml"), model=str(folder / "model.json")))


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("h100-sxm.yaml", "value: 132", "value: 131"),
        ("h100-sxm.yaml", "extends: memories/hbm3", "extends: memories/hbm3e"),
        ("nvlink4-nvswitch.yaml", "name: nvlink4-nvswitch", "name: nvlink4"),
        ("data-centre.yaml", "name: data-centre", "name: site"),
        ("base.yaml", "tensor_parallel: 8", "tensor_parallel: 4"),
        ("top.yaml", "name: top", "name: top2"),
        ("model.json", '"intermediate_size": 14336', '"intermediate_size": 14337'),
    ],
)
def test_every_document_that_is_drawn_on_counts(own: Path, file: str, before: str, after: str) -> None:
    first, text = own_key(own), (own / file).read_text()
    assert before in text
    (own / file).write_text(f"# a comment\n{text}" if file.endswith(".yaml") else f" {text}")
    assert own_key(own) == first
    (own / file).write_text(text.replace(before, after, 1))
    assert own_key(own) != first


def test_links_count_by_what_they_are_and_not_by_their_name(tmp_path: Path) -> None:
    links = configs_folder() / "links"
    shutil.copy(links / "photonic-fabric.yaml", tmp_path / "mine.yaml")
    by_name, by_path = (key_of(replace(BASE, sets=(f"fabric={name}",))) for name in
                        ("photonic-fabric", tmp_path / "mine.yaml"))  # fmt: skip
    assert by_name == by_path != key_of(BASE)
    assert key_of(replace(BASE, sets=("fabric=nvlink4-nvswitch",))) == key_of(BASE)  # its own
    (tmp_path / "mine.yaml").write_text((links / "teraphy.yaml").read_text())
    assert key_of(replace(BASE, sets=(f"fabric={tmp_path / 'mine.yaml'}",))) != by_path


def test_where_a_document_lies_does_not_count(own: Path, tmp_path: Path) -> None:
    first = own_key(own)
    assert own_key(Path(shutil.copytree(own, tmp_path / "elsewhere"))) == first


def test_the_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = key_of(BASE)
    monkeypatch.setattr(key, "code_digest", lambda: b"other code")
    assert key_of(BASE) != first


def test_the_code_that_counts_is_all_that_a_run_imports(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from dieshot.simulator.sweep.outcome import carry_out\n"
        "from dieshot.simulator.studies.point import PointRequest\n"
        "assert carry_out(PointRequest('corsair-card', 'qwen3-0.6b', prompt=2, generate=1)).error is None\n"
        "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('dieshot.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    root = configs_folder().parent
    known = {file.resolve() for file in code_files(root)}
    used = {Path(file).resolve() for file in done.stdout.split()}
    left = {file.name for file in used - known if file.name != "__init__.py"}
    assert left <= AFTER_A_RUN
    missing = [file for file in code_files(root) if not file.is_file()]
    assert missing == [] and len(known) > 100


def test_a_change_of_any_file_of_the_code_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "dieshot"
    for file in code_files(configs_folder().parent):
        target = root / file.relative_to(configs_folder().parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    monkeypatch.setattr(code.importlib.resources, "files", lambda _: root)
    same = code_digest.__wrapped__()
    assert same == code_digest()
    (root / "chips" / "gpu.py").write_text((root / "chips" / "gpu.py").read_text() + "\n")
    assert code_digest.__wrapped__() != same


def test_another_process_makes_the_same_key() -> None:
    program = (
        "from dieshot.simulator.sweep.key import Keys\n"
        "from dieshot.simulator.studies.point import PointRequest\n"
        f"print(Keys()({BASE!r}).hex())\n"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert made == [key_of(BASE).hex()] * 2
