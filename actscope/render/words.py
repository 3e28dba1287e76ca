"""Says in words what a picture shows: its title and the smaller lines below. Pure: no drawing."""

import unicodedata
from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from actscope.plurals import counted
from actscope.render.layout import Maps
from actscope.render.subject import Subject, Values

_SEPARATOR = " · "
_LETTERS_PER_ROOM = 4  # with marks above and below a letter; more of these make no word
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"


def title(subject: Subject, width: int) -> str:
    """Such as `"conv2d · sample 0"`; the name is shortened to keep within `width` characters."""
    return titled(subject.name, sample_words(subject), width)


def sample_words(subject: Subject) -> str:
    """Such as `"sample 0"`; of a training also after which epoch, with the position within it."""
    if subject.epoch is None:
        return f"sample {subject.position}"
    return f"sample {subject.position - subject.first} · epoch {subject.epoch}"


def titled(name: str, ending: str, width: int) -> str:
    """A name, shortened to keep within `width` characters, and an ending that is never."""
    if not name:
        return ending
    return shorten(name, width - len(_SEPARATOR + ending)) + _SEPARATOR + ending


def details(subject: Subject, shape: str, note: str | tuple[str, ...], width: int) -> list[str]:
    """Lines of at most `width` characters: class, shape, id, label, notes, what is not finite."""
    label = f"label {subject.label}" if subject.label else ""
    notes = (note,) if isinstance(note, str) else note
    every = [subject.class_name, shape, subject.sample_id, label, *notes]
    every.append(not_finite_words(subject.values))
    return wrapped(every, width)


def maps_words(shown: Maps, count: int, chosen: str = "strongest ") -> str:
    """Such as `"6 channels of 24×24"`; with how many of `count` are shown where not all are.

    `chosen` says which these are.
    """
    words = counted(count, shown.noun)
    if len(shown.values) < count:
        words = f"{len(shown.values)} {chosen}of {words}"
    if shown.slices > 1:
        words += f", {shown.slices} slices each,"
    height, width = shown.values.shape[2:]
    if not shown.row_axis:
        return f"{words} × {counted(width, shown.column_axis)}"
    words += f" of {height}×{width}"
    if (shown.row_axis, shown.column_axis) != ("y", "x"):
        words += f" ({shown.row_axis}×{shown.column_axis})"
    return words


def not_finite_words(values: Values) -> str:
    """Such as `"3 NaN, 1 inf"`; empty where all values are finite."""
    counts = {"NaN": np.isnan(values).sum(), "inf": np.isinf(values).sum()}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def shorten(text: str, width: int) -> str:
    """`text` on one line, its middle left out where it is longer than `width` characters."""
    text = "".join(
        letter if letter.isprintable() or letter in _JOINERS else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
    if room_of(text) <= width and len(text) <= _LETTERS_PER_ROOM * width:
        return text
    kept = max(2, width - 1)
    return _begin(text, kept - kept // 2) + "…" + _begin(text[::-1], kept // 2)[::-1]


def room_of(text: str) -> int:
    """How many letters' room a text takes: Chinese, Japanese, Korean ones and emoji take two."""
    return sum(_room_of_letter(letter) for letter in text)


def _room_of_letter(letter: str) -> int:
    if unicodedata.category(letter)[0] == "M" or letter in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _begin(text: str, width: int) -> str:
    """The beginning of `text` that takes at most `width` letters' room."""
    rooms = accumulate(_room_of_letter(letter) for letter in text[: _LETTERS_PER_ROOM * width])
    return text[: sum(room <= width for room in rooms)]


def wrapped(parts: Iterable[str], width: int) -> list[str]:
    """`parts` set apart by dots, on as few lines of `width` characters as hold them.

    Longer parts are shortened, empty ones left out.
    """
    lines: list[str] = []
    for part in (shorten(part, width) for part in parts if part):
        if lines and room_of(lines[-1] + _SEPARATOR + part) <= width:
            lines[-1] += _SEPARATOR + part
        else:
            lines.append(part)
    return lines
