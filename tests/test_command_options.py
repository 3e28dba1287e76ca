"""`--samples`, which several commands have: one grammar, and one clear line for all else."""

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.command_options import parse_sample, parse_samples
from actscope.errors import RenderError
from actscope.render.several import find_samples, positions_of

COUNT = 12
IDS = tuple(f"digit-{number}" for number in range(COUNT))


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("16", 16),
        (" 16 ", 16),
        ("0:16", slice(0, 16)),
        (":4", slice(None, 4)),
        ("-4:", slice(-4, None)),
        ("0:9:3", slice(0, 9, 3)),
        (":", slice(None)),
        ("0,3,digit-07", [0, 3, "digit-07"]),
        ("digit-07", ["digit-07"]),
        ("a:b", ["a:b"]),
        ("1:2:3:4", ["1:2:3:4"]),
        ("-1,", [-1]),
        ("3, x y", [3, "x y"]),
        ("٣", ["٣"]),
        ("9" * 5000, ["9" * 5000]),
    ],
)
def test_samples_are_a_count_a_slice_or_a_list(text, samples):
    assert parse_samples(text) == samples


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("0", "0 is no count"),
        ("-1", "written with a comma, -1,"),
        ("0:10:0", "a step of 0"),
        ("", "names no samples"),
        (",", "names no samples"),
        ("1,,2", "names no samples"),
        ("1,2,,", "names no samples"),
    ],
)
def test_what_names_no_samples_is_said(text, clause):
    with pytest.raises(click.BadParameter, match=clause):
        parse_samples(text)


def test_a_whole_number_is_a_position_and_anything_else_an_id():
    assert [parse_sample(text) for text in ("3", "-3", "03")] == [3, -3, 3]
    for text in ("", "digit-3", "3.0", "+3", "٣", "²", "1_0", "9" * 19):
        assert parse_sample(text) == text


@given(st.one_of(st.text(), st.text("0123456789-:, ", max_size=12)))
def test_any_text_names_samples_or_is_refused_in_one_line(text):
    try:
        found = positions_of(parse_samples(text), COUNT, IDS, "conv")
    except (click.BadParameter, RenderError) as error:
        assert str(error)
        return
    assert found
    assert all(0 <= position < COUNT for position in found)


numbers = st.integers(-2 * COUNT, 2 * COUNT)
ends = st.one_of(st.none(), numbers)


@given(ends, ends, st.one_of(st.none(), numbers.filter(bool)))
def test_a_slice_takes_what_it_takes_of_a_list(start, stop, step):
    written = ":".join("" if end is None else str(end) for end in (start, stop, step))
    expected = tuple(range(COUNT))[start:stop:step]
    if expected:
        assert positions_of(parse_samples(written), COUNT, IDS, "") == expected


@given(st.lists(st.one_of(st.integers(-COUNT, COUNT - 1), st.sampled_from(IDS)), min_size=1))
def test_a_list_takes_each_in_order(samples):
    written = ",".join(map(str, samples)) + ","
    expected = [
        IDS.index(sample) if isinstance(sample, str) else sample % COUNT for sample in samples
    ]
    assert list(positions_of(parse_samples(written), COUNT, IDS, "")) == expected


@given(st.integers(1, 100))
def test_a_count_takes_the_first_that_exist(count):
    expected = tuple(range(min(count, COUNT)))
    assert positions_of(parse_samples(str(count)), COUNT, IDS, "") == expected


@pytest.mark.parametrize("samples", [slice(0, 3, 0), slice("a"), "0:3"])
def test_python_is_told_in_one_line_too(samples):
    with pytest.raises(RenderError, match="samples"):
        find_samples(np.zeros((5, 2)), samples)
