"""Cycle-level discrete-event simulator of AI inference chips.

What `__all__` names is imported at first use, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dieshot.simulator.log.reader import open_run
    from dieshot.simulator.studies.audit.study import audit
    from dieshot.simulator.studies.compare import compare
    from dieshot.simulator.studies.critical_path.study import critical_path
    from dieshot.simulator.studies.describe import describe, list_names
    from dieshot.simulator.studies.replay import replay
    from dieshot.simulator.studies.run import run
    from dieshot.simulator.studies.sensitivity import sensitivity
    from dieshot.simulator.studies.spectrum import spectrum
    from dieshot.simulator.studies.trace import trace
    from dieshot.simulator.sweep.sweep import sweep

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "audit",
    "compare",
    "critical_path",
    "describe",
    "list_names",
    "open_run",
    "replay",
    "run",
    "sensitivity",
    "spectrum",
    "sweep",
    "trace",
]

_HOMES = {
    "audit": "dieshot.simulator.studies.audit.study",
    "compare": "dieshot.simulator.studies.compare",
    "critical_path": "dieshot.simulator.studies.critical_path.study",
    "describe": "dieshot.simulator.studies.describe",
    "list_names": "dieshot.simulator.studies.describe",
    "open_run": "dieshot.simulator.log.reader",
    "replay": "dieshot.simulator.studies.replay",
    "run": "dieshot.simulator.studies.run",
    "sensitivity": "dieshot.simulator.studies.sensitivity",
    "spectrum": "dieshot.simulator.studies.spectrum",
    "sweep": "dieshot.simulator.sweep.sweep",
    "trace": "dieshot.simulator.studies.trace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dieshot' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
