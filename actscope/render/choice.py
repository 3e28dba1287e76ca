"""Decides which channels of a sample are drawn, and in which order. Pure: no drawing."""

from dataclasses import dataclass, replace

import numpy as np

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render.layout import MOST_TILES, Maps, strength, strongest
from actscope.render.words import maps_words


@dataclass(frozen=True)
class Choice:
    """The channels of a sample that are drawn.

    Attributes:
        maps: theirs, in the order in which they are drawn.
        words: how many there are of how many, and how large.
        note: in which order, and on which page; empty where there is nothing to say.
    """

    maps: Maps
    words: str
    note: tuple[str, ...] = ()


def choose_channels(maps: Maps, *, sort: bool = False, page: int | None = None) -> Choice:
    """The channels for one picture of at most 256 tiles.

    Args:
        maps: all channels of a sample.
        sort: whether the channel of the largest mean absolute value comes first.
        page: which 256 tiles to take, from 1; None takes the strongest where there are more.

    Raises:
        RenderError: there is no such page.
    """
    count = len(maps.values)
    note = ("strongest first",) if sort else ()
    if page is None:
        shown = strongest(maps)
        return Choice(_sorted(shown) if sort else shown, maps_words(shown, count), note)
    size = max(1, MOST_TILES // maps.slices)
    pages = -(-count // size)
    if not isinstance(page, int | np.integer) or not 1 <= page <= pages:
        raise RenderError(
            f"no page {page!r}: {counted(count, maps.noun)}, {size} to a page, make "
            f"{counted(pages, 'page')}, counted from 1"
        )
    shown = _taken(_sorted(maps) if sort else maps, slice((page - 1) * size, page * size))
    words = maps_words(shown, count, "")
    if pages == 1:
        return Choice(shown, words, note)
    which = f"page {page} of {pages}"
    if not sort:
        which += f", {maps.noun}s {shown.numbers[0]}–{shown.numbers[-1]}"
    return Choice(shown, words, (*note, which))


def _sorted(maps: Maps) -> Maps:
    return _taken(maps, np.argsort(-strength(maps), kind="stable"))


def _taken(maps: Maps, which: slice | np.ndarray) -> Maps:
    return replace(maps, values=maps.values[which], numbers=maps.numbers[which])
