import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actscope.comparing.differences import Differences, Squares, Yardstick, measure, squares_of
from actscope.comparing.precision import FORMATS

FLOAT32 = FORMATS["float32"]
numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)
pairs = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        arrays(np.float32, count, elements=numbers), arrays(np.float32, count, elements=numbers)
    )
)


def in_blocks(a, b, yardstick, cuts):
    found, squares = Differences(), Squares()
    for rows, others in zip(np.split(a, cuts), np.split(b, cuts), strict=True):
        found += measure(rows, others, yardstick)
        squares += squares_of(rows, others)
    return found, squares


@given(pairs, st.lists(st.integers(0, 40), max_size=4))
def test_blocks_add_up_to_the_whole(pair, cuts):
    a, b = pair
    yardstick = Yardstick(1.0, 1e-3, FLOAT32)
    found, squares = in_blocks(a, b, yardstick, sorted(min(cut, len(a)) for cut in cuts))
    whole = measure(a, b, yardstick)
    for name in ("elements", "beyond", "unmatched", "absolute", "relative", "ulps", "scaled"):
        assert getattr(found, name) == getattr(whole, name)
    assert found.worst == whole.worst
    assert found.rms == pytest.approx(whole.rms)
    assert squares.scale == pytest.approx(squares_of(a, b).scale)


def test_against_numpy_on_the_whole():
    random = np.random.default_rng(1)
    a = random.normal(size=(30, 7)).astype(np.float32)
    b = (a + 1e-4 * random.normal(size=a.shape)).astype(np.float32)
    wide_a, wide_b = a.astype(np.longdouble), b.astype(np.longdouble)
    apart = np.abs(wide_a - wide_b)
    squares = squares_of(a, b)
    found = measure(a, b, Yardstick(squares.scale, 1e-4, FLOAT32))
    scale = max(np.sqrt(np.mean(wide_a**2)), np.sqrt(np.mean(wide_b**2)))
    larger = np.maximum(np.abs(wide_a), np.abs(wide_b))
    scaled = apart / np.maximum(larger, scale)
    assert squares.scale == pytest.approx(float(scale))
    cosine = (wide_a * wide_b).sum() / np.sqrt((wide_a**2).sum() * (wide_b**2).sum())
    assert squares.cosine == pytest.approx(float(cosine), rel=1e-12)
    assert found.absolute == float(apart.max())
    assert found.relative == pytest.approx(float((apart / larger).max()))
    assert found.rms == pytest.approx(float(np.sqrt(np.mean(apart**2))))
    assert found.beyond == int((scaled > 1e-4).sum())
    assert 0 < found.beyond < a.size
    assert found.worst == int(np.argmax(scaled))


def test_a_unit_in_the_last_place_is_what_spacing_says():
    values = np.float32([1.0, 1.5, 1e-3, 3e38, 1e-45, 1e-40])
    following = np.nextafter(values, np.float32(np.inf))
    found = [
        measure(values[[i]], following[[i]], Yardstick(0.0, 0.0, FLOAT32)).ulps for i in range(6)
    ]
    assert found == [1.0] * 6


def test_units_of_the_coarser_format():
    one = np.float32([1.0])
    next_in_bfloat16 = np.float32([1.0 + 2.0**-7])
    found = measure(one, next_in_bfloat16, Yardstick(0.0, 0.0, FORMATS["bfloat16"]))
    assert found.ulps == 1.0
    whole_numbers = measure(np.array([3]), np.array([7]), Yardstick(0.0, 0.0, None))
    assert whole_numbers.ulps == 4.0


def test_not_finite_values_are_equal_only_to_themselves():
    nan, inf = np.nan, np.inf
    a = np.float32([nan, inf, -inf, nan, inf, inf, 1.0])
    b = np.float32([nan, inf, -inf, 1.0, -inf, 2.0, 1.0])
    found = measure(a, b, Yardstick(1.0, 0.5, FLOAT32))
    assert (found.unmatched, found.beyond, found.worst) == (3, 3, 3)
    assert found.scaled == inf
    assert (found.absolute, found.rms) == (0.0, 0.0)
    alike = measure(a[:3], b[:3], Yardstick(1.0, 0.0, FLOAT32))
    assert (alike.unmatched, alike.beyond, alike.worst) == (0, 0, None)


def test_small_differences_near_zero_are_judged_by_the_scale_of_the_layer():
    a, b = np.float32([1.0, 0.0]), np.float32([1.0, 1e-7])
    found = measure(a, b, Yardstick(squares_of(a, b).scale, 1e-6, FLOAT32))
    assert found.relative == pytest.approx(1.0)
    assert found.scaled == pytest.approx(1e-7 / np.sqrt(0.5), rel=1e-5)
    assert found.beyond == 0


def test_nothing_to_compare():
    empty = np.zeros((5, 0), np.float32)
    assert measure(empty, empty, Yardstick(0.0, 0.0, FLOAT32)) == Differences()
    assert squares_of(empty, empty).cosine is None
    zeros = np.zeros(3)
    assert squares_of(zeros, zeros).cosine is None
