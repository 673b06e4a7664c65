"""HDF5 files that are put together in memory and reach the disk whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import h5py

from dieshot.simulator.errors import InputError, listed, nearest_name

COMPRESSIONS = ("gzip", "zstd", "none")
GZIP_LEVEL = 2
ZSTD_LEVEL = 3
# Fixed bounds, so that the same content is laid out alike by later versions of the library.
_FILE_VERSIONS = ("v110", "v110")
_serial = itertools.count()


def memory_file() -> h5py.File:
    """Return an empty HDF5 file that lives in memory only."""
    # The name never reaches the disk, but no two open files may share one.
    return h5py.File(f"dieshot-{next(_serial)}", "w", driver="core", backing_store=False, libver=_FILE_VERSIONS)


def image_of(file: h5py.File) -> bytes:
    """Return the bytes of a file as it is."""
    file.flush()
    image: bytes = file.id.get_file_image()
    return image


def canonical_image(file: h5py.File) -> bytes:
    """Return the bytes of a file with the same content laid out afresh, whatever the order of its writes was.

    No dataset of `file` may be open: HDF5 2.0 corrupts memory when it copies one whose chunks are cached.
    """
    if h5py.h5f.get_obj_count(file.id, h5py.h5f.OBJ_DATASET):
        raise RuntimeError("a dataset of the result file is still open")
    with memory_file() as fresh:
        for name in sorted(file.attrs):
            fresh.attrs.create(name, file.attrs[name], dtype=file.attrs.get_id(name).dtype)
        for name in sorted(file):
            file.copy(name, fresh)
        return image_of(fresh)


def put_on_disk(image: bytes, path: Path) -> None:
    """Replace the file at `path` in one step: at every moment it is the old one or the new one; OSError on failure."""
    fresh = path.with_name(f"{path.name}.new")
    with open(fresh, "wb") as stream:
        stream.write(image)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)


def dataset_filters(compression: str) -> Mapping[str, object]:
    """Return h5py's keywords for one of `COMPRESSIONS`; InputError for another."""
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": GZIP_LEVEL, "shuffle": True}
    if compression == "zstd":
        import hdf5plugin

        return {**hdf5plugin.Zstd(clevel=ZSTD_LEVEL), "shuffle": True}
    if compression == "none":
        return {}
    nearest = nearest_name(compression, COMPRESSIONS)
    raise InputError(
        "unknown compression", key="compression", value=compression, expected=listed(COMPRESSIONS), nearest=nearest
    )
