"""Names in any script: drawn where a font has their letters, and replaced in words where not."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from actscope import render
from actscope.errors import ActscopeWarning
from actscope.render import letters
from actscope.render.words import room_of, shorten, wrapped
from rendered import numbers_of, write_arrays

IDS = ("图像-中文-01", "صورة-٢", "चित्र-३", "plain")


def make_font(path, family, held):
    """A font whose letters are squares."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    square = pen.glyph()
    names = [f"letter{ord(letter)}" for letter in held]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", *names])
    font.setupCharacterMap({ord(letter): name for letter, name in zip(held, names, strict=True)})
    font.setupGlyf(dict.fromkeys([".notdef", *names], square))
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (800, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(path)


def forget():
    letters._installed.cache_clear()
    letters._fonts_for.cache_clear()
    letters._SAID.clear()


@pytest.fixture
def installed(monkeypatch):
    """The fonts that matplotlib brings along and those added: whatever this machine has."""
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    forget()
    yield manager
    forget()


@pytest.fixture
def recording(tmp_path):
    values = np.random.default_rng(0).random((4, 5, 5, 3)).astype(np.float32)
    with write_arrays(tmp_path / "run.h5", {"conv": values}, ids=IDS) as opened:
        yield opened


def words_in(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_letters_that_no_font_has_are_replaced_and_named_once(installed, recording):
    with pytest.warns(ActscopeWarning) as said:
        first = render.grid(recording["conv"], 0)
        render.grid(recording["conv"], 0)
    assert "图像-中文-01" not in "".join(words_in(first))
    assert "\N{REPLACEMENT CHARACTER}" * 2 + "-" in words_in(first)[-1]
    assert len(said) == 1
    assert "install Noto Sans CJK" in str(said[0].message)


def test_no_missing_glyph_reaches_the_drawing(installed, recording):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ActscopeWarning)
        for sample in range(4):
            FigureCanvasAgg(render.grid(recording["conv"], sample)).draw()
        FigureCanvasAgg(render.grid(recording["conv"], channel=0, samples=4)).draw()
        FigureCanvasAgg(render.flow(recording, 0)).draw()


def test_letters_that_an_installed_font_has_are_drawn_in_it(installed, recording, tmp_path):
    make_font(tmp_path / "squares.ttf", "Squares", "图像中文")
    installed.addfont(tmp_path / "squares.ttf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render.grid(recording["conv"], 0)
        FigureCanvasAgg(figure).draw()
    text = figure.axes[0].texts[-1]
    assert "图像-中文-01" in text.get_text()
    assert text.get_fontfamily()[-1] == "Squares"
    assert "Squares" not in figure.axes[0].title.get_fontfamily()


def test_a_font_installed_after_matplotlib_looked_is_found(
    installed, recording, tmp_path, monkeypatch
):
    make_font(tmp_path / "squares.ttf", "Squares", "图像中文")
    (tmp_path / "broken.ttf").write_text("no font")
    found = [str(tmp_path / name) for name in ("broken.ttf", "squares.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render.grid(recording["conv"], 0)
    assert figure.axes[0].texts[-1].get_fontfamily()[-1] == "Squares"


def test_tile_names_are_drawn_literally_in_their_own_fonts(installed, tmp_path):
    make_font(tmp_path / "squares.ttf", "Squares", "图像")
    installed.addfont(tmp_path / "squares.ttf")
    values = np.random.default_rng(0).random((2, 5, 5, 3)).astype(np.float32)
    with write_arrays(tmp_path / "run.h5", {"conv": values}, ids=("图像", "$a_1$")) as opened:
        figure = render.grid(opened["conv"], channel=0)
    squares, mathematics = numbers_of(figure).get_paths()
    assert list(squares.codes).count(Path.MOVETO) == 2
    literally = TextPath((0, 0), r"\$a_1\$", size=6).vertices
    np.testing.assert_allclose(mathematics.vertices, literally)


def test_ticks_find_their_fonts_too(installed, tmp_path):
    make_font(tmp_path / "squares.ttf", "Squares", "我看")
    installed.addfont(tmp_path / "squares.ttf")
    scores = np.random.default_rng(0).random((1, 1, 3, 3)).astype(np.float32)
    with (
        write_arrays(
            tmp_path / "run.h5", {"scores": scores}, {"scores": ("head", "query", "key")}, ids=()
        ) as opened,
        pytest.warns(ActscopeWarning, match="no installed font has 见"),
    ):
        figure = render.attention(opened["scores"], tokens=["我", "看", "见"])
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["我", "看", "\N{REPLACEMENT CHARACTER}"]
    assert labels[0].get_fontfamily()[-1] == "Squares"


def test_english_and_the_default_fonts_letters_look_nothing_up(installed):
    assert letters.readable("conv2d · 3×3 привет") == "conv2d · 3×3 привет"
    assert letters._installed.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("letter", "font"),
    [
        ("中", "Noto Sans CJK"),
        ("ひ", "Noto Sans CJK"),
        ("한", "Noto Sans CJK"),
        ("न", "Noto Sans Devanagari"),
        ("ก", "Noto Sans Thai"),
        ("\N{FACE WITH PARTY HORN AND PARTY HAT}", "Noto Emoji"),
    ],
)
def test_the_font_to_install_follows_the_script(letter, font):
    assert letters.font_to_install(letter).startswith(font)


def test_wide_letters_take_the_room_of_two():
    assert room_of("图a") == 3
    assert room_of("चि") == 1
    assert shorten("图像图像图像", 7) == "图…像"
    assert room_of(shorten("图像图像图像图像", 9)) <= 9
    assert len(wrapped(["图像图像", "图像图像"], 12)) == 2


def test_joiners_are_kept_and_controls_of_direction_are_not():
    assert shorten("می\N{ZERO WIDTH NON-JOINER}خواهم", 20) == "می\N{ZERO WIDTH NON-JOINER}خواهم"
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in shorten("a\N{RIGHT-TO-LEFT OVERRIDE}b", 20)
