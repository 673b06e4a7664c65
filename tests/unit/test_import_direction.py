"""The architecture drawing that cannot go stale: who may import whom."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TOP_FOLDERS = ("simulator", "chips", "kernels", "traces", "configs")

# Folder: what it may import of dieshot (a trailing dot means: and below), and which other packages.
ERRORS, VERSION = "dieshot.simulator.errors", "dieshot.__version__"
OWN = "dieshot.simulator."
ALLOWED = {
    "kernels": (("dieshot.kernels.",), {"numpy", "numba"}),
    "traces": (("dieshot.traces.",), {"numpy", "networkx"}),
    "simulator": ((), set()),
    "simulator/engine": ((f"{OWN}engine.", ERRORS), {"numpy", "simpy"}),
    "simulator/params": ((f"{OWN}params.", ERRORS), {"pydantic", "pydantic_core", "pint", "yaml"}),
    "simulator/log": ((f"{OWN}log.", f"{OWN}engine.", ERRORS), {"numpy", "pandas", "h5py", "hdf5plugin"}),
    "simulator/studies": (
        (f"{OWN}studies.", f"{OWN}log.", f"{OWN}params.", f"{OWN}engine.", "dieshot.traces.", ERRORS, VERSION),
        {"numpy", "networkx", "pandas"},
    ),
    "simulator/store": ((f"{OWN}store.", ERRORS), {"pyarrow", "duckdb"}),
    "simulator/sweep": (
        (
            f"{OWN}sweep.",
            f"{OWN}store.",
            f"{OWN}studies.",
            f"{OWN}params.",
            f"{OWN}engine.",
            "dieshot.traces.",
            ERRORS,
            VERSION,
        ),
        {
            "numpy",
            "yaml",
            "pydantic",
            "optuna",
            "SALib",
            "dask",
            "distributed",
            "cryptography",
            "psutil",
            "pyarrow",
            "pandas",
        },
    ),
    "simulator/cli": (
        (
            f"{OWN}cli.",
            f"{OWN}studies.",
            f"{OWN}sweep.",
            f"{OWN}store.",
            f"{OWN}report.",
            f"{OWN}log.reader.",
            f"{OWN}log.record.",
            "dieshot.traces.error.",
            ERRORS,
            VERSION,
        ),
        {"numpy", "typer", "rich"},
    ),
    "simulator/report": ((f"{OWN}report.", ERRORS), {"matplotlib"}),
    "chips": (
        ("dieshot.chips.", f"{OWN}engine.", f"{OWN}params.", "dieshot.kernels.", "dieshot.traces.", ERRORS),
        {"numpy", "simpy", "networkx"},
    ),
}


def product_files() -> list[Path]:
    return sorted(
        file for folder in ("simulator", "chips", "kernels", "traces") for file in (REPOSITORY / folder).rglob("*.py")
    )


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import; a relative one starts with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names)


def offences(folder: str, source: str) -> list[str]:
    """Return 'line: name' of every import that a file of `folder` may not have."""
    rule = next(each for each in (folder, folder.partition("/")[0]) if each in ALLOWED)
    own, packages = ALLOWED[rule]
    wrong = []
    for line, name in imports(source):
        root = name.partition(".")[0]
        inside = root == "dieshot" and any(f"{name}.".startswith(f"{each.rstrip('.')}.") for each in own)
        if not inside and root not in packages and root not in sys.stdlib_module_names:
            wrong.append(f"{line}: {name}")
    return wrong


def folder_of(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).parts
    return "/".join(parts[:2]) if parts[0] == "simulator" and len(parts) > 2 else parts[0]


def test_every_import_goes_in_an_allowed_direction() -> None:
    files = product_files()
    assert {folder_of(file) for file in files} >= {"simulator/cli", "simulator/engine", "chips", "kernels", "traces"}
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{each}"
        for file in files
        for each in offences(folder_of(file), file.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("simulator/engine", "from dieshot.chips.gpu import Gpu"),
        ("simulator/engine", "from dieshot.kernels import hbm"),
        ("simulator/engine", "from dieshot.simulator.log.recorder import Recorder"),
        ("simulator/studies", "import dieshot.chips.gpu"),
        ("simulator/studies", "import h5py"),
        ("simulator/cli", "from dieshot.simulator.log.recorder import Recorder"),
        ("simulator/log", "import yaml"),
        ("kernels", "import simpy"),
        ("kernels", "from dieshot.simulator.errors import InputError"),
        ("traces", "import pydantic"),
        ("chips", "import h5py"),
        ("chips", "def build():\n    from dieshot.simulator.log import recorder"),
        ("traces", "from .error import TraceError"),
        ("traces", "import traces.error"),
        ("chips", "from kernels import hbm"),
    ],
)
def test_an_import_against_the_direction_is_found(folder: str, line: str) -> None:
    assert len(offences(folder, line)) == 1


def test_tests_import_through_the_root_package() -> None:
    wrong = [
        f"{file.name}:{line}: {name}"
        for file in (REPOSITORY / "tests").rglob("*.py")
        for line, name in imports(file.read_text())
        if name.startswith((".", *(f"{folder}." for folder in TOP_FOLDERS))) or name in TOP_FOLDERS
    ]
    assert wrong == []


def architectures() -> set[str]:
    documents = (yaml.safe_load(file.read_text()) for file in (REPOSITORY / "configs" / "chips").glob("*.yaml"))
    return {document["architecture"] for document in documents if "architecture" in document}


def test_every_architecture_is_a_class_named_after_its_file() -> None:
    named = architectures()
    assert named
    for architecture in named:
        homes = [REPOSITORY / "chips" / f"{architecture}{tail}" for tail in (".py", "/__init__.py")]
        files = [file for file in homes if file.exists()]
        assert len(files) == 1, f"architecture {architecture}: expected chips/{architecture}.py"
        classes = {node.name.lower() for node in ast.parse(files[0].read_text()).body if isinstance(node, ast.ClassDef)}
        assert architecture.replace("_", "") in classes
