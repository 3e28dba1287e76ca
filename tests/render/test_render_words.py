import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.render.subject import Subject
from actscope.render.words import details, not_finite_words, room_of, shorten, title, wrapped

SUBJECT = Subject(
    np.array([1, np.nan, np.inf, -np.inf]), ("channel",), 3, "conv", "Conv2D", "a", "7"
)


def test_the_title_keeps_the_sample():
    assert title(SUBJECT, 60) == "conv · sample 3"
    long = Subject(SUBJECT.values, ("channel",), 3, "first/" + "x" * 90 + "/last")
    assert title(long, 30).endswith("/last · sample 3")
    assert title(long, 30).startswith("first/x")
    assert len(title(long, 30)) == 30
    assert title(Subject(SUBJECT.values, ("channel",), 3), 60) == "sample 3"


def test_details_say_all_that_is_known():
    lines = details(SUBJECT, "4 channels", "a note", 80)
    assert lines == ["Conv2D · 4 channels · a · label 7 · a note · 1 NaN, 2 inf"]
    assert details(SUBJECT, "4 channels", "", 21)[:2] == ["Conv2D · 4 channels", "a · label 7"]


@given(st.text(), st.integers(3, 40))
def test_shortened_texts_fit_on_one_printable_line(text, width):
    short = shorten(text, width)
    assert room_of(short) <= width
    assert short.isprintable()
    if len(text) <= width and room_of(text) <= width and text.isprintable():
        assert short == text


def test_marks_without_end_are_cut_though_they_take_no_room():
    marked = "a" + "\N{COMBINING ACUTE ACCENT}" * 100_000
    assert len(shorten(marked, 20)) <= 81
    assert shorten(marked, 20).startswith("a\N{COMBINING ACUTE ACCENT}")


@given(st.lists(st.text("abc", min_size=1, max_size=12)), st.integers(12, 40))
def test_wrapped_lines_hold_every_part_in_order(parts, width):
    lines = wrapped(parts, width)
    assert [part for line in lines for part in line.split(" · ")] == parts
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("values", "words"), [([1, 2], ""), ([np.nan], "1 NaN"), ([np.inf, -np.inf], "2 inf")]
)
def test_what_is_not_finite_is_counted(values, words):
    assert not_finite_words(np.array(values)) == words
