"""Recordings of whose structures a few bytes are other ones, as the library would never write them.

Of some of them the HDF5 library hangs or crashes.
"""

import io
import struct
from pathlib import Path

import h5py
import numpy as np

LAYER = "layers/conv2d"
TREE, TABLE, CONTINUATION, LAYOUT = b"TREE", 0x11, 0x10, 0x08


def header_of(content, name):
    """Where the header of an object begins."""
    with h5py.File(io.BytesIO(bytes(content)), "r") as file:
        return h5py.h5o.get_info(file[name].id).addr


def messages_of(content, name):
    """Kind and place of each message in an object's header."""
    place = header_of(content, name)
    blocks = [(place + 16, *struct.unpack_from("<I", content, place + 8))]
    for start, size in blocks:
        place = start
        while place + 8 <= start + size:
            kind, width = struct.unpack_from("<HH", content, place)
            yield kind, place + 8
            if kind == CONTINUATION:
                blocks.append(struct.unpack_from("<QQ", content, place + 8))
            place += 8 + width


def message_of(content, name, kind):
    """Where the first message of a kind begins."""
    return next(place for found, place in messages_of(content, name) if found == kind)


def table_of(content, name):
    """Where the tree of a group's members stands, and the heap of their names."""
    return struct.unpack_from("<QQ", content, message_of(content, name, TABLE))


def put(content, place, form, *values):
    struct.pack_into(form, content, place, *values)


# The heap of the attributes' texts.


def text_of_no_bytes(content):
    put(content, content.index(b"GCOL") + 16 + 8, "<Q", 0)


def every_text_of_no_bytes(content):
    place = 0
    while (place := content.find(b"GCOL", place + 1)) > 0:
        put(content, place + 16 + 8, "<Q", 0)


def room_of_no_bytes(content):
    """What is free in the heap: HDF5 1.14.6 goes round in it for ever."""
    place = content.index(b"GCOL") + 16
    put(content, place, "<HHIQ", 0, 0, 0, 0)


def text_of_enormous_length(content):
    put(content, content.index(b"GCOL") + 16 + 8, "<Q", 2**63)


def heap_beyond_the_end(content):
    put(content, content.index(b"GCOL") + 8, "<Q", 2**40)


def heap_of_no_length(content):
    put(content, content.index(b"GCOL") + 8, "<Q", 0)


def heap_of_another_signature(content):
    content[:] = content.replace(b"GCOL", b"GCOM")


# Headers.


def header_that_goes_on_in_itself(content):
    start = header_of(content, "layers/conv2d/output")
    place = message_of(content, "layers/conv2d/output", CONTINUATION)
    put(content, place, "<QQ", start + 16, 256)


def header_that_goes_on_beyond_the_end(content):
    put(content, message_of(content, "layers/conv2d/output", CONTINUATION), "<QQ", 2**62, 2**62)


def header_of_many_messages(content):
    put(content, header_of(content, "layers/conv2d") + 2, "<H", 65535)
    put(content, header_of(content, "layers/conv2d") + 8, "<I", len(content) - 5000)


def header_of_enormous_length(content):
    put(content, header_of(content, LAYER) + 8, "<I", 2**32 - 1)


def message_longer_than_its_header(content):
    place = message_of(content, LAYER, TABLE)
    put(content, place - 6, "<H", 65528)


def header_of_another_version(content):
    content[header_of(content, "layers/conv2d/output")] = 9


# Groups.


def tree_that_leads_to_itself(content):
    tree, _ = table_of(content, LAYER)
    content[tree + 5] = 1
    put(content, tree + 24 + 8, "<Q", tree)


def tree_of_many_levels(content):
    """Sixteen branches at each level, and all of them lead to the same one below."""
    place, levels, branches = len(content), 30, 16
    step = 24 + 16 * branches + 8
    for level in range(levels, -1, -1):
        below = place + (levels - level + 1) * step
        content += struct.pack("<4sBBHQQ", TREE, 0, level, branches if level else 0, 0, 0)
        content += struct.pack("<QQ", 0, below) * branches + bytes(8)
    put(content, message_of(content, "layers", TABLE), "<Q", place)


def tree_without_end(content):
    tree, _ = table_of(content, "layers")
    put(content, tree + 6, "<H", 65535)


def leaf_of_many_members(content):
    put(content, content.index(b"SNOD", table_of(content, LAYER)[0]) + 6, "<H", 65535)


def two_members_of_one_name(content):
    leaf = content.index(b"SNOD", table_of(content, LAYER)[0])
    content[leaf + 8 + 40 : leaf + 8 + 48] = content[leaf + 8 : leaf + 16]


def name_beyond_the_heap(content):
    put(content, content.index(b"SNOD", table_of(content, LAYER)[0]) + 8, "<Q", 2**50)


def heap_of_names_beyond_the_end(content):
    put(content, table_of(content, LAYER)[1] + 24, "<Q", len(content) - 3)


def member_at_the_superblock(content):
    put(content, content.index(b"SNOD", table_of(content, LAYER)[0]) + 16, "<Q", 0)


def group_that_is_its_own_member(content):
    """Hard links in a circle, without end for whoever follows them."""
    leaf = content.index(b"SNOD", table_of(content, "layers")[0])
    put(content, leaf + 16, "<Q", header_of(content, "layers"))


def a_million_groups(content):
    """All of them in one place; their names are different."""
    group = header_of(content, LAYER)
    names = np.char.mod("g%06d", np.arange(1_000_000)).astype("S8").tobytes()
    segment = len(content) + 32
    heap = struct.pack("<4sB3xQQQ", b"HEAP", 0, len(names), 1, segment) + names
    leaves, entry = [], np.dtype([("name", "<u8"), ("at", "<u8"), ("rest", "V24")])
    for first in range(0, 1_000_000, 62_500):
        entries = np.zeros(62_500, entry)
        entries["name"], entries["at"] = 8 * np.arange(first, first + 62_500), group
        leaves.append(struct.pack("<4sBxH", b"SNOD", 1, 62_500) + entries.tobytes())
    place = len(content) + len(heap)
    tree = struct.pack("<4sBBHQQ", TREE, 0, 0, len(leaves), 2**64 - 1, 2**64 - 1)
    size = len(tree) + 16 * len(leaves) + 8
    for number, leaf in enumerate(leaves):
        tree += struct.pack("<QQ", 0, place + size + number * len(leaf))
    put(content, message_of(content, "layers", TABLE), "<QQ", place, len(content))
    content += heap + tree + bytes(8) + b"".join(leaves)


# Datasets.


def rows_beyond_the_end(content):
    put(content, message_of(content, "layers/conv2d/output", LAYOUT) + 2, "<Q", 2**62)


def rows_that_stand_nowhere(content):
    put(content, message_of(content, "layers/conv2d/output", LAYOUT) + 2, "<Q", 2**64 - 1)


def rows_of_more_bytes(content):
    put(content, message_of(content, "layers/conv2d/output", LAYOUT) + 10, "<Q", 2**40)


def shape_of_many_axes(content):
    content[message_of(content, "layers/conv2d/output", 0x01) + 1] = 255


def type_of_no_bytes(content):
    put(content, message_of(content, "layers/conv2d/output", 0x03) + 4, "<I", 0)


def type_of_many_bytes(content):
    put(content, message_of(content, "layers/conv2d/output", 0x03) + 4, "<I", 2**32 - 1)


def layout_of_another_version(content):
    content[message_of(content, "layers/conv2d/output", LAYOUT)] = 200


# The file.


def superblock_of_another_version(content):
    content[8] = 7


def wide_addresses(content):
    content[13] = 255


def file_that_should_be_longer(content):
    put(content, 40, "<Q", len(content) + 1)


def root_beyond_the_end(content):
    put(content, 64, "<Q", 2**63)


CASES = {
    change.__name__: change
    for change in (
        text_of_no_bytes,
        every_text_of_no_bytes,
        room_of_no_bytes,
        text_of_enormous_length,
        heap_beyond_the_end,
        heap_of_no_length,
        heap_of_another_signature,
        header_that_goes_on_in_itself,
        header_that_goes_on_beyond_the_end,
        header_of_many_messages,
        header_of_enormous_length,
        message_longer_than_its_header,
        header_of_another_version,
        tree_that_leads_to_itself,
        tree_of_many_levels,
        tree_without_end,
        leaf_of_many_members,
        two_members_of_one_name,
        name_beyond_the_heap,
        heap_of_names_beyond_the_end,
        member_at_the_superblock,
        group_that_is_its_own_member,
        a_million_groups,
        rows_beyond_the_end,
        rows_that_stand_nowhere,
        rows_of_more_bytes,
        shape_of_many_axes,
        type_of_no_bytes,
        type_of_many_bytes,
        layout_of_another_version,
        superblock_of_another_version,
        wide_addresses,
        file_that_should_be_longer,
        root_beyond_the_end,
    )
}


def make(case: str, good: Path, path: Path) -> Path:
    """A copy of the good recording with one thing wrong."""
    content = bytearray(good.read_bytes())
    CASES[case](content)
    path.write_bytes(content)
    return path
