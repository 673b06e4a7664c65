"""Operator traces of Transformer inference: models, operators, trace files, partition over ranks."""

from dieshot.traces.build import build_trace
from dieshot.traces.config import ModelConfig
from dieshot.traces.dtype import DTYPE_BITS, KV_PRECISIONS, PRECISIONS, Precision, bytes_of
from dieshot.traces.error import TraceError
from dieshot.traces.file import trace_text, write_trace
from dieshot.traces.huggingface import MODEL_TYPES, load_model_config
from dieshot.traces.operator import KIND_DIMS, KINDS, PREVIOUS, RESIDUAL, SHARDS, Operator
from dieshot.traces.parse import parse_trace, read_trace
from dieshot.traces.partition import Partition, Stage, partition
from dieshot.traces.routing import LAWS, draw_routing
from dieshot.traces.share import divides
from dieshot.traces.sparsity import PATTERNS
from dieshot.traces.trace import Block, Step, Trace

__all__ = [
    "DTYPE_BITS",
    "KINDS",
    "KIND_DIMS",
    "KV_PRECISIONS",
    "LAWS",
    "MODEL_TYPES",
    "PATTERNS",
    "PRECISIONS",
    "PREVIOUS",
    "RESIDUAL",
    "SHARDS",
    "Block",
    "ModelConfig",
    "Operator",
    "Partition",
    "Precision",
    "Stage",
    "Step",
    "Trace",
    "TraceError",
    "build_trace",
    "bytes_of",
    "divides",
    "draw_routing",
    "load_model_config",
    "parse_trace",
    "partition",
    "read_trace",
    "trace_text",
    "write_trace",
]
