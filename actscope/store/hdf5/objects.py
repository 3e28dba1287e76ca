"""Groups and datasets of a file: each opened by its place, with what its header says."""

import struct
from dataclasses import dataclass
from functools import cached_property

from actscope.store.hdf5.attributes import Attribute, find_attribute
from actscope.store.hdf5.content import Content
from actscope.store.hdf5.groups import Link, links_of
from actscope.store.hdf5.headers import (
    DATASPACE,
    DATATYPE,
    EXTERNAL,
    FILTERS,
    LAYOUT,
    LINK_INFO,
    NEWER,
    SYMBOL_TABLE,
    Messages,
    read_messages,
)
from actscope.store.hdf5.storage import Layout, filters_of, layout_of
from actscope.store.hdf5.types import shape_of, type_name

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_SUPERBLOCK = struct.Struct("<8sB4xBB9xQQQQQQ")
_WIDTH = 8


@dataclass(frozen=True)
class Object:
    """Something that has a name and attributes.

    Attributes:
        content: the file.
        name: its absolute path, such as `"/layers/conv2d"`.
        address: where its header stands, which no other object has.
        messages: what the header says.
    """

    content: Content
    name: str
    address: int
    messages: Messages

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return self.name or "/"

    def attribute(self, name: str) -> Attribute | None:
        """One of its attributes, or None."""
        return find_attribute(self.messages, name)


class Group(Object):
    """A group of objects."""

    @cached_property
    def links(self) -> dict[str, Link]:
        """How it leads to its members, by their names."""
        return links_of(self.content, self.messages, self.where)


class Dataset(Object):
    """An array of values."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape; None where it has none, or one that makes no sense."""
        return shape_of(self._only(DATASPACE))

    @property
    def type(self) -> str:
        """What its elements are, as `type_name` has it."""
        return type_name(self._only(DATATYPE))

    @property
    def is_external(self) -> bool:
        """Whether its values stand in other files."""
        return EXTERNAL in self.messages

    @property
    def layout(self) -> Layout | None:
        """Where its values are; None where that is not known."""
        return layout_of(self._only(LAYOUT))

    @property
    def filters(self) -> tuple[int, ...] | None:
        """The numbers of the filters that its chunks go through; None where they make no sense."""
        return filters_of(self._only(FILTERS)) if FILTERS in self.messages else ()

    def _only(self, kind: int) -> bytes:
        """What the first message of a kind says; nothing where there is none."""
        return self.messages.get(kind, [b""])[0]


def open_root(content: Content) -> Group:
    """The group that all others are in.

    Raises:
        FormatError: it is no HDF5 file, or not one of the oldest form.
    """
    if content.size < _SUPERBLOCK.size or content.at(0, len(SIGNATURE), "/") != SIGNATURE:
        raise content.damaged("not an actscope recording, nor any HDF5 file")
    _, version, offsets, lengths, base, _, end, _, _, root = _SUPERBLOCK.unpack(
        content.at(0, _SUPERBLOCK.size, "/")
    )
    if version or (offsets, lengths, base) != (_WIDTH, _WIDTH, 0):
        raise content.damaged(f"it {NEWER}")
    if end > content.size:
        raise content.damaged(
            f"it has {content.size:,} bytes where it says that it has {end:,}: truncated"
        )
    found = open_object(content, "", root)
    if not isinstance(found, Group):
        raise content.damaged("its root is not a group: damaged")
    return found


def open_object(content: Content, name: str, address: int) -> Object:
    """The group or dataset at a place; an `Object` where it is neither.

    Raises:
        FormatError: there is none, or its header is damaged.
    """
    messages = read_messages(content, address, name or "/")
    if LAYOUT in messages:
        return Dataset(content, name, address, messages)
    if SYMBOL_TABLE in messages or LINK_INFO in messages:
        return Group(content, name, address, messages)
    return Object(content, name, address, messages)
