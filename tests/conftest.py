"""What all tests share: Hypothesis settings and the marker of kernel tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test may hang on what an earlier process decided; those of the store itself name a folder of their own.
os.environ["DIESHOT_CACHE"] = "off"

# A first call of a jitted function compiles for seconds, which is no reason to fail an example.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = Path(item.path)
        if "kernels" in path.parts[-3:-1] or path.name.startswith("test_kernels"):
            item.add_marker("kernels")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]
