"""A digest of the code that the result of a run depends on, so that results of other code are never taken for it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import sys
from pathlib import Path

FOLDERS = ("chips", "kernels", "traces", "simulator/engine", "simulator/log", "simulator/params")
STUDIES = (
    *("account", "bounds", "cost", "execute", "joining", "ledger", "limit", "plan", "point", "provenance"),
    *("refusing", "result", "run", "setup", "split", "summary", "trace"),
)
FILES = ("simulator/errors.py", "simulator/sweep/outcome.py", "simulator/sweep/row.py")
LIBRARIES = ("networkx", "numba", "numpy", "simpy")


@functools.cache
def code_digest() -> bytes:
    """Return a digest of all modules that a run goes through, of the libraries' versions and of Python's."""
    root = Path(str(importlib.resources.files("dieshot")))
    python = ".".join(map(str, sys.version_info[:2]))  # a newer one may add floating-point numbers in another way
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    digest = hashlib.sha256("\n".join([f"python {python}", *versions]).encode())
    for file in code_files(root):
        content = file.read_bytes()
        digest.update(f"\n{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.digest()


def code_files(root: Path) -> list[Path]:
    """Return the files of the package below `root` that the digest is of."""
    found = [file for folder in FOLDERS for file in sorted((root / folder).rglob("*.py"))]
    found += [root / "simulator" / "studies" / f"{name}.py" for name in STUDIES]
    return found + [root / file for file in FILES]
