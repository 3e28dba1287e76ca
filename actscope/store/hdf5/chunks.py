"""Where the chunks of a dataset stand, as the tree says that the library keeps of them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from actscope.store.hdf5.content import Content
from actscope.store.hdf5.groups import NOWHERE, tree_leaves

_CHUNK_TREE = 1


class Chunk(NamedTuple):
    """An encoded chunk: where its first element belongs, and where its bytes stand."""

    start: tuple[int, ...]
    offset: int
    size: int
    mask: int


def chunks_of(content: Content, tree: int, axes: int, where: str) -> Iterator[Chunk]:
    """The chunks of a dataset of so many axes.

    Raises:
        FormatError: their tree is damaged.
    """
    if tree == NOWHERE:
        return
    key = struct.Struct(f"<II{axes}Q8x")
    for offset, words in tree_leaves(content, tree, (_CHUNK_TREE, key.size), where):
        size, mask, *start = key.unpack(words)
        yield Chunk(tuple(start), offset, size, mask)
