import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import RenderError
from actscope.render.layout import (
    arrange,
    columns_for,
    gap_between,
    mosaic,
    near_square,
    strongest,
)

sizes = st.integers(1, 7)


@given(
    count=st.integers(1, 20),
    height=sizes,
    width=sizes,
    columns=sizes,
    gaps=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_every_tile_holds_exactly_its_values_and_the_rest_is_empty(
    count, height, width, columns, gaps
):
    tiles = np.arange(count * height * width, dtype=np.float32).reshape(count, height, width)
    placed = mosaic(tiles, columns, gaps)
    left = placed.image.copy()
    for index in range(count):
        row, column = index // columns, index % columns
        top, start = row * (height + gaps[0]), column * (width + gaps[1])
        np.testing.assert_array_equal(
            placed.image[top : top + height, start : start + width], tiles[index]
        )
        assert placed.corner(index) == (top, start)
        left[top : top + height, start : start + width] = np.nan
    assert np.isnan(left).all()
    rows = -(-count // columns)
    assert placed.image.shape == (
        rows * (height + gaps[0]) - gaps[0],
        columns * (width + gaps[1]) - gaps[1],
    )
    assert (placed.rows, placed.count) == (rows, count)


def test_tiles_may_have_colours_and_another_filling():
    tiles = np.ones((3, 2, 2, 4))
    placed = mosaic(tiles, 2, (1, 1), fill=0)
    assert placed.image.shape == (5, 5, 4)
    assert placed.image.sum() == 3 * 2 * 2 * 4


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (6, 3), (10, 4), (12, 4), (64, 8), (256, 16), (4096, 64)]
)
def test_square_tiles_make_a_near_square(count, columns):
    assert near_square(count, 24, 24) == columns


@given(count=st.integers(12, 300), height=st.integers(5, 60), width=st.integers(5, 60))
def test_the_whole_is_near_square_where_tiles_are(count, height, width):
    columns = near_square(count, height, width)
    rows = -(-count // columns)
    assert 1 <= columns <= count
    if 0.5 <= width / height <= 2:
        assert 0.6 <= columns * width / (rows * height) <= 2.4


def test_columns_that_were_asked_for_are_taken():
    assert columns_for(5, 12, 3, 3) == 5
    assert columns_for(50, 12, 3, 3) == 12
    assert columns_for(None, 12, 3, 3) == 4


@pytest.mark.parametrize("columns", [0, -1, 2.5, "3"])
def test_other_columns_are_refused(columns):
    with pytest.raises(RenderError, match="whole number above 0"):
        columns_for(columns, 12, 3, 3)


def test_gaps_grow_with_the_tiles():
    assert [gap_between(side, side) for side in (1, 2, 24, 56, 224)] == [0, 1, 1, 2, 9]


@pytest.mark.parametrize(
    ("axes", "shape", "order", "expected", "names"),
    [
        (("y", "x", "channel"), (4, 5, 3), (2, 0, 1), (3, 1, 4, 5), ("channel", "y", "x")),
        (("channel", "y", "x"), (3, 4, 5), (0, 1, 2), (3, 1, 4, 5), ("channel", "y", "x")),
        (("head", "query", "key"), (2, 6, 6), (0, 1, 2), (2, 1, 6, 6), ("head", "query", "key")),
        (
            ("token", "head", "channel"),
            (7, 2, 4),
            (1, 2, 0),
            (2, 1, 4, 7),
            ("head", "channel", "token"),
        ),
        (("token", "channel"), (7, 4), (1, 0), (4, 1, 1, 7), ("channel", "", "token")),
        (("channel", "token"), (4, 7), (0, 1), (4, 1, 1, 7), ("channel", "", "token")),
        (("step", "feature"), (7, 4), (1, 0), (4, 1, 1, 7), ("feature", "", "step")),
        (
            ("z", "y", "x", "channel"),
            (6, 4, 5, 3),
            (3, 0, 1, 2),
            (3, 6, 4, 5),
            ("channel", "y", "x"),
        ),
        (("channel",), (9,), (0,), (9, 1, 1, 1), ("channel", "", "")),
        ((), (), (), (1, 1, 1, 1), ("channel", "", "")),
        (("y", "x"), (4, 5), (0, 1), (1, 1, 4, 5), ("channel", "y", "x")),
        (
            ("axis_1", "axis_2", "axis_3", "axis_4", "channel"),
            (2, 3, 4, 5, 6),
            (4, 0, 1, 2, 3),
            (6, 6, 4, 5),
            ("channel", "axis_3", "axis_4"),
        ),
    ],
)
def test_axes_are_found_by_their_names(axes, shape, order, expected, names):
    values = np.random.default_rng(0).random(shape)
    maps = arrange(values, axes)
    np.testing.assert_array_equal(maps.values, values.transpose(order).reshape(expected))
    assert (maps.noun, maps.row_axis, maps.column_axis) == names
    assert maps.tiles.shape == (expected[0] * expected[1], *expected[2:])


def test_the_strongest_channels_keep_their_order_and_numbers():
    values = np.zeros((2, 2, 5), np.float32)
    values += [1, -9, 3, 0, 5]
    values[0, 0, 2] = np.nan
    shown = strongest(arrange(values, ("y", "x", "channel")), 2)
    assert shown.labels == ["1", "4"]
    np.testing.assert_array_equal(shown.values[:, 0, 0, 0], [-9, 5])


def test_slices_of_a_channel_stay_together():
    values = np.random.default_rng(0).random((4, 2, 2, 6))
    shown = strongest(arrange(values, ("z", "y", "x", "channel")), 9)
    assert shown.values.shape == (2, 4, 2, 2)
    kept = sorted(np.argsort(values.mean((0, 1, 2)))[-2:])
    assert shown.labels == [f"{channel}:{z}" for channel in kept for z in range(4)]
    assert len(strongest(shown, 1).values) == 1
