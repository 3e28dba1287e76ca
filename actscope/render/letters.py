"""Finds fonts for the letters of names that come from a file, and says which are missing."""

import unicodedata
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from actscope.errors import ActscopeWarning

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands for every letter that no installed font has."""

_REGULAR = 400
_PREFERRED = ("Noto Sans", "Noto", "WenQuanYi", "IPA", "DejaVu", "")
_BOXES_FOR_ALL = "Last Resort"  # matplotlib's own font that has a labelled box for each letter
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH")
_MOST_NAMED = 8
_SAID: set[str] = set()  # the fonts that were asked for already: once is enough
_Written = TypeVar("_Written", bound=Text)


def literal(text: _Written) -> _Written:
    """Have a text drawn as it is, without mathematics, in fonts that have its letters.

    Letters that no installed font has are replaced, and an `ActscopeWarning` says so.
    """
    written = readable(text.get_text())
    text.set_text(written)
    text.set(parse_math=False, usetex=False, fontfamily=families(written))
    return text


def literal_words(texts: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Readable texts, and the keyword arguments that `literal` would give to each of them.

    For the labels of ticks, which matplotlib makes anew from their texts.
    """
    written = [readable(text) for text in texts]
    words = {"parse_math": False, "usetex": False, "fontfamily": families("".join(written))}
    return written, words


def outlines(text: str, points: float) -> Path:
    """The outlines of a text of one line, drawn literally as by `literal`, from its lower left.

    Hundreds of small texts are drawn ten times as fast as one collection of these, which keep from
    picture to picture.
    """
    written = readable(text)
    return _outlines(written, tuple(families(written)), points)


@lru_cache(maxsize=4096)
def _outlines(written: str, fonts: tuple[str, ...], points: float) -> Path:
    font = FontProperties(family=list(fonts))
    corners, codes = text_to_path.get_text_path(font, written, ismath=False)
    return Path(np.reshape(corners, (-1, 2)) * (points / text_to_path.FONT_SCALE), codes)


def readable(text: str) -> str:
    """`text` with every letter that no installed font has replaced, which is said once."""
    missing = _fonts_for(_foreign(text))[1]
    if not missing:
        return text
    by_font: dict[str, str] = {}
    for letter in sorted(missing):
        font = font_to_install(letter)
        by_font[font] = by_font.get(font, "") + letter
    for font, letters in by_font.items():
        _say_missing(font, letters)
    return "".join(REPLACEMENT if letter in missing else letter for letter in text)


def families(text: str) -> list[str]:
    """The font families to draw `text` in: the usual ones, and others for the letters they lack."""
    return [*matplotlib.rcParams["font.family"], *_fonts_for(_foreign(text))[0]]


def _foreign(text: str) -> frozenset[str]:
    """The letters of `text` that the usual font lacks."""
    if text.isascii():
        return frozenset()
    usual = _opened(font_manager.findfont(FontProperties()))
    return frozenset(letter for letter in text if letter != "\n" and not _has(usual, letter))


def _has(font: FT2Font, letter: str) -> bool:
    return font.get_char_index(ord(letter)) != 0


@lru_cache(maxsize=1024)
def _fonts_for(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Families that together have as many of `letters` as can be had, and those none has."""
    found: list[str] = []
    missing = letters
    for entry in _installed() if letters else ():
        font = _opened(entry.fname)
        left = frozenset(letter for letter in missing if not _has(font, letter))
        if left != missing:
            found.append(entry.name)
            missing = left
        if not missing:
            break
    return tuple(found), missing


@cache
def _installed() -> tuple[FontEntry, ...]:
    """One upright font of each installed family, in the order in which they are tried."""
    _look_for_new_fonts()
    upright = (entry for entry in font_manager.fontManager.ttflist if entry.style == "normal")
    by_family: dict[str, FontEntry] = {}
    for entry in sorted(upright, key=lambda entry: abs(int(entry.weight) - _REGULAR)):
        if not entry.name.startswith(_BOXES_FOR_ALL):
            by_family.setdefault(entry.name, entry)
    return tuple(sorted(by_family.values(), key=_rank))


def _look_for_new_fonts() -> None:
    """Let matplotlib know of fonts that were installed since it last looked: it never does again.

    Whoever installs a font because we say which is missing must see it drawn.
    """
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            with suppress(Exception):  # matplotlib too passes over the fonts that it cannot read
                font_manager.fontManager.addfont(path)


def _rank(entry: FontEntry) -> tuple[int, str]:
    return next(
        place for place, begin in enumerate(_PREFERRED) if entry.name.startswith(begin)
    ), entry.name


def _opened(path: str) -> FT2Font:
    return font_manager.get_font(path)


def font_to_install(letter: str) -> str:
    """A freely available font that has a letter, by the name of its script."""
    script = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    if script in _EAST_ASIAN:
        return "Noto Sans CJK"
    if unicodedata.category(letter)[0] == "L" and script:
        return f"Noto Sans {script.title()}"
    return "Noto Emoji (not the coloured one) or Noto Sans Symbols"


def _say_missing(font: str, letters: str) -> None:
    if font in _SAID:
        return
    _SAID.add(font)
    more = f" and {len(letters) - _MOST_NAMED} others" if len(letters) > _MOST_NAMED else ""
    warnings.warn(
        f"no installed font has {' '.join(letters[:_MOST_NAMED])}{more}: {REPLACEMENT} is drawn "
        f"instead; install {font}",
        ActscopeWarning,
        stacklevel=2,
    )
