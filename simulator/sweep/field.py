"""What a sweep can vary of a run beside parameters: the fields of a request, by their names and short names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params.catalog import CatalogKind
from dieshot.traces import KV_PRECISIONS, LAWS, PATTERNS, PRECISIONS


@dataclass(frozen=True, slots=True)
class Field:
    """A field of `PointRequest`: a whole number of at least `least`, a share above 0 to 1, or a word.

    choices: the words there are. catalog: where else its names are found, or files may be named by path.
    optional: None means the system's own.
    """

    name: str
    least: int | None = None
    share: bool = False
    choices: tuple[str, ...] = ()
    catalog: CatalogKind | None = None
    optional: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.least is not None

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.is_whole or self.share

    def checked(self, value: Any) -> Any:
        """Return a value that the field can have; InputError without place otherwise."""
        if value is None and self.optional:
            return None
        if self.share:
            return self._share(value)
        return self._whole(value) if self.is_whole else self._word(value)

    def _whole(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or value < (self.least or 0):
            raise InputError("out of bounds", expected=f"a whole number of at least {self.least}", value=value)
        return value

    def _share(self, value: Any) -> float:
        if type(value) not in (int, float) or not 0 < value <= 1:
            raise InputError("out of bounds", expected="a number above 0 and at most 1", value=value)
        return float(value)

    def _word(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise InputError("not a name", expected="a name", value=value)
        if self.choices and value not in self.choices:
            nearest = nearest_name(value, self.choices)
            raise InputError("unknown name", expected=listed(self.choices), value=value, nearest=nearest)
        return value


FIELDS: dict[str, Field] = {
    each.name: each
    for each in (
        Field("system", catalog="systems"),
        Field("model", catalog="models"),
        Field("batch", least=1),
        Field("prompt", least=1),
        Field("generate", least=0),
        Field("cached", least=0),
        Field("precision", choices=tuple(PRECISIONS), optional=True),
        Field("kv_precision", choices=tuple(KV_PRECISIONS), optional=True),
        Field("tensor_parallel", least=1, optional=True),
        Field("pipeline_parallel", least=1, optional=True),
        Field("prefill_chunk", least=1, optional=True),
        Field("micro_batches", least=1, optional=True),
        Field("seed", least=0),
        Field("routing", choices=tuple(LAWS)),
        Field("sparsity", choices=tuple(PATTERNS)),
        Field("density", share=True, optional=True),
    )
}
SHORT_NAMES = {"tp": "tensor_parallel", "pp": "pipeline_parallel"}


def field_named(name: str) -> Field | None:
    """Return the field of a name as the document or the command line has it, such as `tp` or `kv-precision`."""
    return FIELDS.get(SHORT_NAMES.get(name, name.replace("-", "_")))
