import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actscope.histogram import BINS, EDGES, ZERO_BIN, BinCounter, histogram_of

random = np.random.default_rng(0)


def neighbours(values):
    values = np.asarray(values, np.float32)
    return np.concatenate(
        [
            values,
            np.nextafter(values, np.float32(np.inf)),
            np.nextafter(values, -np.float32(np.inf)),
        ]
    )


def test_values_on_the_edges_go_where_numpy_puts_them():
    values = neighbours(EDGES[np.isfinite(EDGES)])
    tiny = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38], np.float32)
    largest = np.finfo(np.float32).max
    values = np.concatenate([values, tiny, [largest, -largest]]).astype(np.float32)
    np.testing.assert_array_equal(histogram_of(values), np.histogram(values, EDGES)[0])


@given(
    arrays.arrays(
        np.float32, 50, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_the_histogram_is_that_of_numpy(values):
    np.testing.assert_array_equal(histogram_of(values), np.histogram(values, EDGES)[0])


@pytest.mark.parametrize("count", [1, 2**15 - 1, 2**15 + 1, 2**18 - 1, 2**18 + 3, 2**19 + 5])
@pytest.mark.parametrize("signed", [False, True])
def test_many_values_are_counted_in_pieces(count, signed):
    values = random.normal(size=count).astype(np.float32) * random.choice([0, 1e-6, 1, 1e6], count)
    values = values.astype(np.float32) if signed else np.abs(values).astype(np.float32)
    counter = BinCounter(count)
    for piece in np.array_split(values, 7):
        counter.add(piece, signed=signed)
    np.testing.assert_array_equal(counter.counts(), np.histogram(values, EDGES)[0])


def test_zeros_with_a_sign_are_zeros():
    counter = BinCounter(2)
    counter.add(np.array([-0.0, 0.0], np.float32), signed=False)
    assert counter.counts()[ZERO_BIN] == 2


def test_the_edges_are_two_to_an_octave_and_alike_on_both_sides():
    assert len(EDGES) == BINS + 1
    np.testing.assert_array_equal(EDGES, -EDGES[::-1])
    assert (np.diff(EDGES) > 0).all()
    assert EDGES[ZERO_BIN : ZERO_BIN + 4].tolist() == [
        -(2.0**-24),
        2.0**-24,
        1.5 * 2**-24,
        2.0**-23,
    ]
    assert EDGES[-3:].tolist() == [1.5 * 2**15, 2.0**16, np.inf]


def test_what_single_precision_does_not_hold_is_in_the_outer_bins():
    found = histogram_of(np.array([1e300, -1e300, 1e-300]))
    assert (found[-1], found[0], found[ZERO_BIN]) == (1, 1, 1)
