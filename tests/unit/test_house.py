"""The yardstick of the house: layout, size of files and functions, and what an import costs."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import dieshot

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("simulator", "chips", "kernels", "traces", "configs")
LONGEST_FILE_LINES = 500
LONGEST_BODY_LINES = {"kernels": 100}  # a kernel may be one loop nest read from top to bottom
LONGEST_BODY_LINES_ELSEWHERE = 60
EVASIVE_NAMES = ("Manager", "Helper", "Util")
HEAVY = {"numba", "numpy", "h5py", "simpy", "networkx", "pandas", "pydantic", "pint", "yaml"}


def modules() -> list[tuple[str, Path]]:
    return [(folder, file) for folder in FOLDERS for file in sorted((REPOSITORY / folder).rglob("*.py"))]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    has_docstring = ast.get_docstring(function, clean=False) is not None
    statements = function.body[1:] if has_docstring else function.body
    return (function.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_source_folders_are_linked_into_the_package(folder: str) -> None:
    link = REPOSITORY / "src" / "dieshot" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{folder}"
    assert link.resolve().is_dir()


def test_no_file_is_longer_than_the_hard_limit() -> None:
    lengths = {str(file.relative_to(REPOSITORY)): len(file.read_text().splitlines()) for _, file in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_no_function_body_is_longer_than_the_hard_limit() -> None:
    too_long = {}
    for folder, file in modules():
        limit = LONGEST_BODY_LINES.get(folder, LONGEST_BODY_LINES_ELSEWHERE)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > limit:
                too_long[f"{file.relative_to(REPOSITORY)}:{node.name}"] = body_lines(node)
    assert too_long == {}


def test_names_say_what_a_thing_is() -> None:
    classes = (
        (file, node.name)
        for _, file in modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [f"{file.name}:{name}" for file, name in classes if any(part in name for part in EVASIVE_NAMES)] == []
    assert [str(file) for _, file in modules() if file.stem != file.stem.lower()] == []


def test_every_package_has_a_docstring() -> None:
    packages = [file.parent for _, file in modules()]
    bare = [folder for folder in set(packages) if not (folder / "__init__.py").exists()]
    assert [str(folder.relative_to(REPOSITORY)) for folder in bare] == []
    assert [str(file) for _, file in modules() if ast.get_docstring(ast.parse(file.read_text())) is None] == []


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter holds after running `code`."""
    program = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code", ["import dieshot", "from dieshot.simulator.cli.main import main; assert main(['--help']) == 0"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    loaded = loaded_by(code)
    assert "dieshot" in loaded
    assert loaded & HEAVY == set()


def test_the_python_api_is_there_at_first_use() -> None:
    for name in (each for each in dieshot.__all__ if each != "__version__"):
        assert callable(getattr(dieshot, name))
        assert name in dir(dieshot)
    with pytest.raises(AttributeError, match="'dieshot' has no attribute 'rnu'"):
        dieshot.rnu  # noqa: B018


def test_versions_agree() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["dieshot"] == "dieshot.simulator.cli.main:main"
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "dieshot.__version__"}
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == dieshot.__version__
