"""The catalog: documents found by name or path, merged over what they extend; what ships is complete."""

import shutil
from pathlib import Path

import pytest

from dieshot.simulator.errors import InputError, listed
from dieshot.simulator.params import (
    LinkParameters,
    SystemParameters,
    catalog_sources,
    configs_folder,
    document_from_text,
    find_document,
    find_path,
    list_names,
    resolve,
)
from dieshot.simulator.params.catalog import CatalogKind
from dieshot.simulator.studies.setup import architecture_of

LEAF = "{value: %s, unit: '1', kind: published, source: h100wp}"


def refusal(kind: CatalogKind, name: str) -> str:
    with pytest.raises(InputError) as refused:
        find_document(kind, name)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", list_names("systems"))
def test_every_system_resolves_and_its_parts_exist(name: str) -> None:
    system = resolve(find_document("systems", name), SystemParameters)
    values = system.values
    assert values.name == name
    if values.fabric is not None:
        fabric = resolve(find_document("links", values.fabric), LinkParameters).values
        assert values.n_chips <= fabric.max_chips
    divisible = architecture_of(find_document("chips", values.chip)).divisible
    ranks = values.partition.tensor_parallel * (values.partition.pipeline_parallel or 1)
    assert ranks <= values.n_chips or (divisible and values.partition.tensor_parallel == 1)
    assert resolve(document_from_text(system.text, name), SystemParameters).values == values


@pytest.mark.parametrize("name", list_names("links"))
def test_every_link_resolves(name: str) -> None:
    link = resolve(find_document("links", name), LinkParameters)
    assert link.values.name == name
    assert resolve(document_from_text(link.text, name), LinkParameters).records == link.records


def test_the_systems_are_as_sold() -> None:
    dgx = resolve(find_document("systems", "dgx-h100"), SystemParameters).values
    assert (dgx.n_chips, dgx.chip, dgx.fabric, dgx.partition.tensor_parallel) == (8, "h100-sxm", "nvlink4-nvswitch", 8)
    single = resolve(find_document("systems", "h200-sxm"), SystemParameters).values
    assert (single.n_chips, single.chip, single.fabric) == (1, "h200-sxm", None)
    link = resolve(find_document("links", "nvlink4-nvswitch"), LinkParameters).values
    assert link.n_links * link.rate == 450 * 10**9  # bytes per second of one chip, one direction
    assert (link.hop_latency, link.energy) == (700_000_000, 5500.0)


def test_every_source_has_a_lower_case_id_a_title_and_its_trust() -> None:
    sources = catalog_sources()
    assert {"h100wp", "gpubench", "jouppi21", "aiconfig", "estimate"} <= set(sources)
    for id, source in sources.items():
        assert id == id.lower() and source.id == id and source.title
        assert source.trust in ("first hand", "second hand", "recalled", "third party", "estimate"), id


def test_names_and_paths(tmp_path: Path) -> None:
    assert {"dgx-h100", "h100-sxm", "dgx-h200", "h200-sxm"} <= set(list_names("systems"))
    assert list_names("memories") == sorted(list_names("memories"))
    assert find_path("systems", "dgx-h100") == configs_folder() / "systems" / "dgx-h100.yaml"
    copy = tmp_path / "mine.yaml"
    shutil.copy(find_path("links", "nvlink4-nvswitch"), copy)
    document = find_document("links", str(copy))
    assert (document.name, document.file, document.label("name")) == ("mine", str(copy), "nvlink4-nvswitch")


def test_unknown_names_list_what_exists() -> None:
    assert refusal("links", "nvlink4-nvswich") == (
        f"unknown link 'nvlink4-nvswich'; expected {listed(list_names('links'))}; did you mean 'nvlink4-nvswitch'?"
    )
    assert refusal("systems", "..").startswith("unknown system '..'; expected one of ")
    assert refusal("systems", "none/x.yaml") == "none/x.yaml: no such file; expected a system's file or name"
    assert refusal("systems", "/etc") == "/etc: no such file; expected a system's file or name"


def test_a_label_must_be_a_word() -> None:
    document = document_from_text("name: 3", "x.yaml")
    for key, message in (
        ("name", "x.yaml:1: name: not a name; expected a name; got 3"),
        ("architecture", "x.yaml: architecture: missing key; expected architecture: a name"),
    ):
        with pytest.raises(InputError) as refused:
            document.label(key)
        assert str(refused.value) == message


def test_extending_merges_sections_and_replaces_leaves(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        f"name: base\nchip: a\nfabric: null\nn_chips: {LEAF % 2}\n"
        "partition: {tensor_parallel: 2, pipeline_parallel: 1}\n"
        "price: {rent_per_chip: {value: 2, unit: USD/hour, kind: assumed, range: [1, 3], why: x}}\n"
    )
    (tmp_path / "child.yaml").write_text(
        "extends: base\nname: child\npartition: {pipeline_parallel: 3}\nsources: {own: {title: Mine}}\n"
        "price: {rent_per_chip: {value: 9, unit: USD/hour, kind: published, source: own}}\n"
    )
    result = resolve(find_document("systems", str(tmp_path / "child.yaml")), SystemParameters)
    assert (result.values.name, result.values.chip, result.values.n_chips) == ("child", "a", 2)
    assert (result.values.partition.tensor_parallel, result.values.partition.pipeline_parallel) == (2, 3)
    record = result.record("price.rent_per_chip")
    assert (record.value, record.why, record.range, record.source_title) == (9.0, None, None, "Mine")
    assert "extends" not in result.text


def test_an_error_names_the_file_it_came_from(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(f"name: base\nchip: a\nfabric: null\nn_chips: {LEAF % 0}\n"
                    "partition: {tensor_parallel: 2, pipeline_parallel: 1}\n")  # fmt: skip
    (tmp_path / "child.yaml").write_text("extends: base\nname: child\n")
    with pytest.raises(InputError) as refused:
        resolve(find_document("systems", str(tmp_path / "child.yaml")), SystemParameters)
    assert str(refused.value) == f"{base}:4: n_chips: too small; expected a count greater than 0; got 0"


def test_extending_reaches_the_catalog_and_ends(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: dgx-h100\nname: mine\n")
    assert resolve(find_document("systems", str(mine)), SystemParameters).values.n_chips == 8
    mine.write_text("extends: dgx-h10\n")
    assert refusal("systems", str(mine)).startswith("unknown system 'dgx-h10'; expected one of")
    mine.write_text("extends: ../mine\n")
    assert refusal("systems", str(mine)) == (
        f"{mine}:1: extends: not a document's name; expected the name of a document beside this one; got '../mine'"
    )


def test_circles_and_long_chains_of_documents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b\n")
    (tmp_path / "b.yaml").write_text("extends: a\n")
    assert refusal("systems", str(tmp_path / "a.yaml")) == (
        f"{tmp_path / 'a.yaml'}: extends: documents extend one another in a circle; got 'a'"
    )
    for i in range(9):
        (tmp_path / f"c{i}.yaml").write_text(f"extends: c{i + 1}\n")
    message = refusal("systems", str(tmp_path / "c0.yaml"))
    assert message == f"{tmp_path / 'c8.yaml'}: extends: too many documents extend one another"


def test_a_document_may_name_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "system.yaml").write_text("name: near\nfabric: link.yaml\n")
    shutil.copy(find_path("links", "nvlink4-nvswitch"), tmp_path / "near" / "link.yaml")
    monkeypatch.chdir(tmp_path)
    system = find_document("systems", "near/system.yaml")
    assert find_document("links", system.label("fabric"), beside=system).label("name") == "nvlink4-nvswitch"
    with pytest.raises(InputError, match="no such file"):
        find_document("links", system.label("fabric"))
