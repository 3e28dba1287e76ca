"""Encodes and decodes the bytes of one chunk: HDF5's byte shuffle, then zstd or gzip. Pure.

The libraries are called directly and not through HDF5's filters: they let go of the interpreter's
lock, so that threads work side by side, and no plug-in is looked for on the reader's machine.
Shuffled and on level 1, activations after a ReLU are about half as large (benchmarks/RESULTS.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from actscope.errors import FormatError

NONE = "none"
CODECS = (NONE, "gzip", "zstd")

SHUFFLE, DEFLATE, ZSTD = 2, 1, 32015
"""Numbers of HDF5's filters; that of zstd is the registered one."""

CODEC_OF = {DEFLATE: "gzip", ZSTD: "zstd"}
"""Which codec a filter is of."""

PIPELINES = ((), (SHUFFLE,), (DEFLATE,), (ZSTD,), (SHUFFLE, DEFLATE), (SHUFFLE, ZSTD))
"""The sequences of filters that are read, in the order in which a writer applies them."""

_LEVEL = 1
_SHUFFLED = zstandard.ZstdCompressionParameters.from_level(_LEVEL, hash_log=13)
"""Level 1 with a table for matches that is half as large, for bytes that were shuffled: up to a
fifth faster and as small, since floating-point values seldom repeat (benchmarks/RESULTS.md)."""

_DAMAGED = (zstandard.ZstdError, cast(type[Exception], IsalError))  # its stub says instance
_WIDTHS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Filter:
    """One stage of HDF5's pipeline, as it is told to the library."""

    number: int
    values: tuple[int, ...]


def filters(codec: str, itemsize: int) -> tuple[Filter, ...]:
    """The stages that HDF5 must know of to read what `encode` makes."""
    if codec == NONE:
        return ()
    compression = Filter(ZSTD if codec == "zstd" else DEFLATE, (_LEVEL,))
    return (Filter(SHUFFLE, (itemsize,)), compression) if itemsize > 1 else (compression,)


def encode(chunk: npt.NDArray[np.generic], codec: str) -> memoryview:
    """The bytes to store for a C-contiguous chunk; its own, not copied, where there is no codec."""
    if codec == NONE:
        return memoryview(chunk).cast("B")
    content = memoryview(_shuffled(chunk)).cast("B")
    if codec == "zstd":
        return memoryview(_zstd(chunk.dtype.itemsize).compress(content))
    return memoryview(isal_zlib.compress(content, _LEVEL))


def _zstd(width: int) -> zstandard.ZstdCompressor:
    if width > 1:
        return zstandard.ZstdCompressor(compression_params=_SHUFFLED)
    return zstandard.ZstdCompressor(level=_LEVEL)


def decode(
    stored: memoryview, pipeline: Sequence[int], shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> npt.NDArray[np.generic]:
    """The chunk of which `stored` are the bytes, after the filters numbered in `pipeline`.

    Raises:
        FormatError: the bytes are damaged, or not as many as the chunk has.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    content: memoryview = stored
    try:
        if ZSTD in pipeline:
            content = _unzstd(stored, size)
        elif DEFLATE in pipeline:
            inflater = isal_zlib.decompressobj()
            content = memoryview(inflater.decompress(stored, size + 1))
    except _DAMAGED as error:
        raise FormatError(f"a chunk cannot be decoded: {error}") from error
    if len(content) != size:
        raise FormatError(f"a chunk of {size:,} bytes decodes to {len(content):,}")
    values = np.frombuffer(content, np.uint8)
    flat = _unshuffled(values, dtype) if SHUFFLE in pipeline else values.view(dtype)
    return flat.reshape(shape)


def _unzstd(stored: memoryview, size: int) -> memoryview:
    declared = zstandard.frame_content_size(bytes(stored[:32]))
    if declared not in (-1, size):
        raise FormatError(f"a chunk of {size:,} bytes says that it decodes to {declared:,}")
    content = zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
    return memoryview(content)


def _shuffled(chunk: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """The first bytes of all values, then their second bytes, and so on.

    Shifting whole values is vectorised; copying every fourth byte is not.
    """
    width = chunk.dtype.itemsize
    if width == 1:
        return chunk.view(np.uint8)
    values = chunk.reshape(-1).view(_WIDTHS[width])
    planes = np.empty((width, values.size), np.uint8)
    shifted = np.empty_like(values)
    for place, plane in enumerate(planes):
        np.right_shift(values, 8 * place, out=shifted)
        np.copyto(plane, shifted, casting="unsafe")
    return planes


def _unshuffled(
    content: npt.NDArray[np.uint8], dtype: np.dtype[np.generic]
) -> npt.NDArray[np.generic]:
    width = dtype.itemsize
    if width == 1:
        return content.view(dtype)
    planes = content.reshape(width, -1)
    values = planes[-1].astype(_WIDTHS[width])
    for plane in planes[-2::-1]:
        np.left_shift(values, 8, out=values)
        np.bitwise_or(values, plane, out=values)
    typed: npt.NDArray[np.generic] = values.view(dtype)
    return typed
