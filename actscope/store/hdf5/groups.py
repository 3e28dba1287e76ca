"""The members of a group: their names, and where each stands."""

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from actscope.store.hdf5.content import Content
from actscope.store.hdf5.dense import heap_objects
from actscope.store.hdf5.headers import LINK, LINK_INFO, SYMBOL_TABLE, Messages
from actscope.store.hdf5.heaps import LONGEST_NAME, local_heap, name_in

MOST_MEMBERS = 100_000

_TABLE = struct.Struct("<QQ")
_TREE = struct.Struct("<4sBBH16x")
_LEAF = struct.Struct("<4sBxH")
_ENTRY = struct.Struct("<QQI20x")
_ADDRESS = struct.Struct("<Q")
_GROUP_TREE, _KEY = 0, 8
_SOFT_IN_TABLE = 2
_WIDTHS = tuple(map(struct.Struct, ("<B", "<H", "<I", "<Q")))

DEEPEST = 32
"""Levels of a tree; the library needs six for a thousand million parts."""

HARD, SOFT, EXTERNAL = "hard link", "SoftLink", "ExternalLink"
_HARD, _KINDS = 0, {0: HARD, 1: SOFT}

NOWHERE = 2**64 - 1
"""The address of what has none."""


class Link(NamedTuple):
    """How a group leads to a member: to a place in the file, or elsewhere."""

    kind: str
    address: int


def links_of(content: Content, messages: Messages, where: str) -> dict[str, Link]:
    """The members of a group, in the order of their names.

    Raises:
        FormatError: it is no group, is damaged, or has more than `MOST_MEMBERS`.
    """
    if SYMBOL_TABLE in messages:
        links = _in_table(content, messages[SYMBOL_TABLE][0], where)
    elif LINK_INFO in messages:
        links = _in_messages(content, messages, where)
    else:
        raise content.damaged(f"{where} is not a Group")
    found: dict[str, Link] = {}
    for name, link in links:
        if name in found:
            raise content.damaged(f"{where} has two members of the name {name!r}: damaged")
        if len(found) == MOST_MEMBERS:
            raise content.damaged(f"{where} has more than {MOST_MEMBERS:,} members, too many")
        found[name] = link
    return found


def _in_table(content: Content, table: bytes, where: str) -> Iterator[tuple[str, Link]]:
    if len(table) < _TABLE.size:
        raise content.damaged(f"{where}: its list of members is damaged")
    tree, address = _TABLE.unpack_from(table)
    heap = local_heap(content, address, where)
    for child, _ in tree_leaves(content, tree, (_GROUP_TREE, _KEY), where):
        signature, version, count = _LEAF.unpack(content.at(child, _LEAF.size, where))
        if signature != b"SNOD" or version != 1:
            raise content.damaged(f"{where}: its list of members is damaged")
        entries = content.at(child + _LEAF.size, count * _ENTRY.size, where)
        for offset, place, kind in _ENTRY.iter_unpack(entries):
            link = Link(SOFT if kind == _SOFT_IN_TABLE else HARD, place)
            yield name_in(content, heap, offset, where), link


def _in_messages(content: Content, messages: Messages, where: str) -> Iterator[tuple[str, Link]]:
    """The members of a group of which one has a name beyond ASCII, or leads out of the file."""
    info = messages[LINK_INFO][0]
    start = 10 if info[1:2] and info[1] & 1 else 2
    found: Iterable[bytes] = messages.get(LINK, ())
    try:
        heap, tree = _TABLE.unpack_from(info, start)
        if heap != NOWHERE:
            found = heap_objects(content, heap, tree, where)
        # By name, as others are: the tree has them by a hash.
        yield from sorted(map(_link, islice(found, MOST_MEMBERS + 1)))
    except (struct.error, IndexError) as error:
        raise content.damaged(f"{where}: the list of its members is damaged") from error


def _link(message: bytes) -> tuple[str, Link]:
    """The name and the place that a link message holds."""
    flags, place = message[1], 2
    kind = _HARD
    if flags & 8:
        kind, place = message[place], place + 1
    place += 8 * bool(flags & 4) + bool(flags & 16)
    width = _WIDTHS[flags & 3]
    (length,) = width.unpack_from(message, place)
    place += width.size
    name = message[place : place + length]
    if not 0 < len(name) == length <= LONGEST_NAME:
        raise IndexError
    address = _ADDRESS.unpack_from(message, place + length)[0] if kind == _HARD else NOWHERE
    return name.decode(errors="backslashreplace"), Link(_KINDS.get(kind, EXTERNAL), address)


def tree_leaves(
    content: Content, root: int, kind: tuple[int, int], where: str, expected: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """What a B-tree of the first version leads to, in order: the place of each, and its key.

    Args:
        content: the file.
        root: where the tree begins.
        kind: the number of this kind of tree, and how many bytes a key of it has.
        where: whose tree it is, for messages.
        expected: how many levels must be below the root; None where that is not known.

    Raises:
        FormatError: it is damaged.
    """
    number, width = kind
    signature, found, level, count = _TREE.unpack(content.at(root, _TREE.size, where))
    if signature != b"TREE" or found != number or expected not in (None, level) or level > DEEPEST:
        raise content.damaged(f"{where}: the tree of its parts is damaged")
    step = struct.Struct(f"<{width}sQ")
    entries = content.at(root + _TREE.size, count * step.size, where)
    for key, place in step.iter_unpack(entries):
        if level:
            yield from tree_leaves(content, place, kind, where, level - 1)
        else:
            yield place, key
