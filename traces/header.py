"""Checking the header of a trace file: the model and the arguments that the trace was built from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dieshot.traces import document
from dieshot.traces.build import check_arguments, check_chunk
from dieshot.traces.config import ModelConfig
from dieshot.traces.dtype import check_kv_precision, precision_named
from dieshot.traces.error import TraceError, show
from dieshot.traces.file import OPTIONAL_MODEL_FIELDS
from dieshot.traces.huggingface import MAX_POSITIONS, MODEL_TYPES, check_shape
from dieshot.traces.record import choice, name_of
from dieshot.traces.sparsity import DENSE, Sparsity, sparsity_of
from dieshot.traces.trace import Step, Trace

_KINDS: Mapping[object, type] = {"str": str, "int": int, "bool": bool, str: str, int: int, bool: bool}
HEAD_FIELDS = ("num_attention_heads", "num_key_value_heads", "head_dim")
_POSITIVE = ("hidden_size", "num_hidden_layers", *HEAD_FIELDS, "vocab_size")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a trace file; fields as in Trace."""

    model: ModelConfig
    precision: str
    kv_precision: str
    batch: int
    prompt: int
    generate: int
    seed: int
    routing: str
    sparsity: Sparsity
    chunk: int | None
    cached: int

    def trace(self, steps: tuple[Step, ...]) -> Trace:
        """Return the trace of this header and these steps."""
        return Trace(
            model=self.model,
            precision=self.precision,
            kv_precision=self.kv_precision,
            batch=self.batch,
            prompt=self.prompt,
            generate=self.generate,
            seed=self.seed,
            routing=self.routing,
            steps=steps,
            sparsity=self.sparsity.pattern,
            density=self.sparsity.density,
            chunk=self.chunk,
            cached=self.cached,
        )


def header_of(record: Mapping[str, Any], where: str) -> Header:
    """Return the header of the parsed first line, whose keys have been checked."""
    header = Header(
        model=_model(record["model"], where),
        precision=precision_named(document.text(record, "precision", where), where).name,
        kv_precision=check_kv_precision(document.text(record, "kv_precision", where), where),
        **{key: document.integer(record, key, where, 0, (1 << 63) - 1) for key in ("batch", "prompt")},
        **{key: document.integer(record, key, where, 0, (1 << 63) - 1) for key in ("generate", "seed")},
        routing=document.text(record, "routing", where),
        sparsity=sparsity_of(record.get("sparsity", DENSE.pattern), record.get("density"), where),
        chunk=document.integer(record, "chunk", where, 1, (1 << 63) - 1) if "chunk" in record else None,
        cached=document.integer(record, "cached", where, 1, (1 << 63) - 1) if "cached" in record else 0,
    )
    arguments = (header.batch, header.prompt, header.generate, header.seed, header.routing)
    check_arguments(header.model, *arguments, where, header.cached)
    check_chunk(header.model, header.prompt, header.chunk, where)
    return header


def _model(record: object, where: str) -> ModelConfig:
    if not isinstance(record, dict):
        raise TraceError(where, "model", f"expected an object, got {show(record)}")
    known = {field.name: _KINDS[field.type] for field in fields(ModelConfig)}
    required = tuple(name for name in known if name not in OPTIONAL_MODEL_FIELDS)
    document.check_keys(record, required, where, "model.", OPTIONAL_MODEL_FIELDS)
    for name in record:
        _check_field(record, name, known[name], where)
    name_of(record, "name", where)
    choice(record, "model_type", where, MODEL_TYPES)
    model = ModelConfig(**record)
    check_shape(model, where)
    return model


def _check_field(record: Mapping[str, Any], name: str, kind: type, where: str) -> None:
    key, value = f"model.{name}", record[name]
    low = int(name in _POSITIVE and not (record["model_type"] == "mamba" and name in HEAD_FIELDS))
    if kind is bool and type(value) is not bool:
        raise TraceError(where, key, f"expected true or false, got {show(value)}")
    if kind is int and (type(value) is not int or not low <= value <= MAX_POSITIONS):
        problem = f"expected an integer from {low} to {MAX_POSITIONS}, got {show(value)}"
        raise TraceError(where, key, problem)
    if kind is str and (type(value) is not str or not value.isprintable() or not 0 < len(value) <= 100):
        raise TraceError(where, key, f"expected 1 to 100 printable characters, got {show(value)}")
