"""Small recordings in chunks, with several chunks and blocks of checksums each."""

import dataclasses
from contextlib import contextmanager
from unittest import mock

from actscope.store import checksums, chunking
from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.chunking import in_chunks

BLOCK = 1500


@contextmanager
def small_blocks():
    """Blocks of a few rows, while this lasts."""
    with (
        mock.patch.object(checksums, "BLOCK_BYTES", BLOCK),
        mock.patch.object(chunking, "BLOCK_BYTES", BLOCK),
        mock.patch.object(chunking, "BAND_BYTES", 8 * BLOCK),
    ):
        yield


def chunked(example, codec="zstd", layout="sample", known=True):
    """The example's plan, stored in chunks."""
    samples = example.samples if known else None
    tensors = in_chunks(example.plan.tensors, layout, samples)
    words = {} if known else {"samples": 0, "is_open_ended": True, "ids": (), "labels": None}
    return dataclasses.replace(example.plan, tensors=tensors, codec=codec, **words)


def write(example, plan, upto=None, step=5, **words):
    """The example's rows, or the rest of them; `upto` a row, it stays unfinished."""
    with ChunkedWriter(example.path, plan, **words) as writer:
        upto = upto or example.samples
        for start in range(writer.committed, upto, step):
            writer.append(example.rows(start, min(start + step, upto)))
        if upto == example.samples:
            writer.complete()
        else:
            writer.commit()
    return example.path
