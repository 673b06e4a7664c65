"""Jitted timing loops: arrays in, arrays out. No SimPy, no YAML, no classes.

Numba only notices edits of the file that holds the cached function, not of a callee in another file, so the cache
folder is named by the hash of every file here.
"""

import hashlib
import os
from pathlib import Path

from numba import config

_HERE = Path(__file__).resolve().parent


def _source_digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(_HERE.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _cache_home() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "dieshot" / "numba"


if not os.environ.get("NUMBA_CACHE_DIR"):
    # Numba's cache does not tell code that checks bounds from code that does not.
    _checked = "-boundscheck" if vars(config)["BOUNDSCHECK"] else ""
    vars(config)["CACHE_DIR"] = str(_cache_home() / f"{_source_digest()}{_checked}")
