import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actscope import scan, statistics
from actscope.axes import channel_axis
from actscope.errors import FormatError
from actscope.histogram import BINS, EDGES
from actscope.statistics import RunningStatistics
from actscope.store.reader import open_recording
from recordings import Example

random = np.random.default_rng(0)
LAYOUTS = [
    ((), None),
    ((5,), 0),
    ((4, 6, 3), 2),
    ((3, 4, 6), 0),
    ((2, 3, 4), 1),
    ((7, 11), 1),
    ((5000,), 0),
    ((80, 90, 12), 2),
    ((300, 300), 1),
    ((40, 1), 1),
    ((30, 10), 1),
    ((1100, 7), 1),
    ((2, 70, 70), 0),
    ((3, 2, 100), 1),
    ((2, 7, 7), 1),
]


@pytest.fixture(autouse=True, scope="module", params=["compiled", "with NumPy"])
def way(request):
    if request.param == "compiled":
        if not scan.LIBRARY.exists():
            pytest.skip("there was no C compiler when actscope was installed")
        assert scan.is_compiled(), "compiled from another scan.c: install actscope again"
        yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "is_compiled", lambda: False)
            yield


def over(rows, shape, axis, splits=(), top=4):
    running = RunningStatistics(shape, axis, top)
    ends = [0, *sorted(splits), len(rows)]
    for start, stop in pairwise(ends):
        running.update(rows[start:stop], start)
    return running.result()


def by_channel(rows, axis):
    """`(N, C, positions)` in double precision."""
    wide = rows.astype(np.float64)
    wide = wide[:, np.newaxis] if axis is None else np.moveaxis(wide, axis + 1, 1)
    return wide.reshape(*wide.shape[:2], -1)


def expected_top(wide, top):
    highest = np.where(np.isfinite(wide), wide, -np.inf).max(axis=2)
    ranked = np.argsort(-highest, axis=0, kind="stable")[:top]
    values, samples = np.full((2, top, wide.shape[1]), np.nan)
    values[: len(ranked)] = np.take_along_axis(highest, ranked, axis=0)
    samples[: len(ranked)] = ranked
    known = np.isfinite(values)
    return np.where(known, values, np.nan), np.where(known, samples, -1)


def assert_as_numpy(found, rows, axis, top=4):
    wide = by_channel(rows, axis)
    assert found.samples == len(rows)
    for channel in range(wide.shape[1]):
        every = wide[:, channel].ravel()
        finite = every[np.isfinite(every)]
        assert found.count[channel] == finite.size
        assert found.not_finite[channel] == every.size - finite.size
        assert found.zeros[channel] == (every == 0).sum()
        if finite.size == 0:
            for values in (found.mean, found.variance, found.minimum, found.maximum):
                assert np.isnan(values[channel])
            continue
        reach = np.abs(finite).max()
        assert found.mean[channel] == pytest.approx(finite.mean(), rel=1e-12, abs=1e-13 * reach)
        assert found.variance[channel] == pytest.approx(
            finite.var(), rel=variance_within(rows), abs=1e-13 * reach**2
        )
        assert found.minimum[channel] == finite.min()
        assert found.maximum[channel] == finite.max()
    values, samples = expected_top(wide, top)
    np.testing.assert_array_equal(found.top_values, values)
    np.testing.assert_array_equal(found.top_samples, samples)
    with np.errstate(over="ignore"):
        single = wide[np.isfinite(wide)].astype(np.float32)
    np.testing.assert_array_equal(found.histogram, np.histogram(single, EDGES)[0])


def variance_within(rows):
    """Relative: NumPy squares deviations of single precision in single precision."""
    if scan.is_compiled():
        return 1e-10
    return 1e-6 if np.can_cast(rows.dtype, np.float32) or rows.dtype.kind == "V" else 1e-10


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
@pytest.mark.parametrize("strange", [False, True])
def test_they_are_those_of_numpy_over_the_whole(shape, axis, strange):
    rows = np.maximum(random.normal(1e3, 1, (9, *shape)), 999).astype(np.float32) - 999
    if strange:
        rows[random.random(rows.shape) < 0.1] = np.nan
        rows[random.random(rows.shape) < 0.1] = -np.inf
        rows[3] = np.inf
    assert_as_numpy(over(rows, shape, axis, (2, 3, 7)), rows, axis)


@pytest.mark.parametrize(
    "dtype",
    [
        np.float16,
        np.float64,
        ml_dtypes.bfloat16,
        bool,
        np.int8,
        np.uint8,
        np.int32,
        np.int64,
        "<f4",
    ],
)
def test_every_real_dtype_is_taken(dtype):
    rows = (random.normal(size=(6, 5, 4, 3)) * 30).astype(dtype)
    assert_as_numpy(over(rows, (5, 4, 3), 2, (4,)), rows, 2)


floats = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
tables = arrays.arrays(np.float32, st.tuples(*[st.integers(1, 9)] * 3), elements=floats)


@given(rows=tables, splits=st.lists(st.integers(0, 9), max_size=4))
def test_any_split_into_batches_gives_the_same(rows, splits):
    splits = [min(split, len(rows)) for split in splits]
    found = over(rows, rows.shape[1:], 1, splits)
    assert_as_numpy(found, rows, 1)
    whole = over(rows, rows.shape[1:], 1)
    for name, values in vars(whole).items():
        if name in ("mean", "variance"):
            continue
        np.testing.assert_array_equal(getattr(found, name), values)
    reach = np.abs(np.where(np.isfinite(rows), rows, 0)).max(axis=(0, 1)).astype(np.float64)
    assert_close(found.mean, whole.mean, 1e-12 * reach)
    assert_close(found.variance, whole.variance, 1e-6 * reach**2)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", np.float16])
def test_rows_lie_in_memory_as_they_like(dtype, start):
    plain = random.normal(size=(20, 9, 8)).astype(dtype)
    raw = np.frombuffer(b" " * start + plain.tobytes(), np.uint8)[start:]
    rows = raw.view(dtype).reshape(plain.shape)[::-2, ::3]
    assert_as_numpy(over(rows, (3, 8), 1, (4,)), rows, 1)
    whole = raw.view(dtype).reshape(plain.shape)
    assert_as_numpy(over(whole, (9, 8), 1, (4,)), plain, 1)


def test_zeros_have_no_sign():
    for rows in ([[-0.0], [0.0]], [[0.0], [-0.0]], [[-0.0], [-0.0]]):
        found = over(np.array(rows, np.float32), (1,), 0, (1,))
        assert not np.signbit([found.minimum[0], found.maximum[0], found.top_values[0, 0]]).any()
        assert found.zeros[0] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="threads have another least stack there")
def test_a_thread_with_a_small_stack_has_room():
    rows = random.normal(size=(5, 4)).astype(np.float32)
    before = threading.stack_size(2**17)
    try:
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(over, rows, (4,), 0).result()
    finally:
        threading.stack_size(before)
    assert_as_numpy(found, rows, 0)


@given(
    shape=st.tuples(st.integers(1, 40), *[st.integers(1, 300)] * 2, st.integers(1, 9)),
    few=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_samples_of_any_shape(shape, few, seed):
    samples, positions, channels, inner = shape
    shape = (samples, positions // 20 + 1 if few else positions, channels, inner)
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    rows[np.abs(rows) < 0.3] = 0
    rows.flat[seed % rows.size] = (np.nan, np.inf, -np.inf, -0.0)[seed % 4]
    found = over(rows, shape[1:], 1, (samples // 2,), top=3)
    assert_as_numpy(found, rows, 1, top=3)


def assert_close(first, second, tolerance):
    np.testing.assert_array_equal(np.isnan(first), np.isnan(second))
    assert (np.nan_to_num(np.abs(first - second)) <= tolerance).all()


def test_moments_stand_on_a_large_offset():
    rows = (1e6 + random.normal(size=(4000, 3))).astype(np.float64)
    found = over(rows, (3,), 0, range(100, 4000, 100))
    np.testing.assert_allclose(found.variance, rows.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_moments_stand_on_a_large_offset_beside_what_is_not_finite(axis):
    rows = random.normal(1e5, 1, (40, 3, 5, 300)).astype(np.float32)
    rows[random.random(rows.shape) < 0.01] = np.nan
    found = over(rows, rows.shape[1:], axis, (1, 20))
    expected = np.nanvar(by_channel(rows, axis), axis=(0, 2))
    np.testing.assert_allclose(found.variance, expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(6,), (20, 6), (900, 6)])
def test_top_samples_are_found_wherever_they_are(shape):
    rows = random.normal(size=(300, *shape)).astype(np.float32)
    rows[random.permutation(300)[:30]] += np.linspace(0, 9, 30, dtype=np.float32).reshape(
        30, *[1] * len(shape)
    )
    rows[7, ..., 2] = np.inf
    assert_as_numpy(over(rows, shape, len(shape) - 1, (100,)), rows, len(shape) - 1)


@pytest.mark.parametrize("scale", [1e-30, 1e-16, 1e16, 1e30])
def test_small_and_large_channels_keep_their_variance_beside_others(scale):
    rows = random.normal(size=(64, 8, 3)).astype(np.float32) * np.float32([1, scale, 1e-3])
    found = over(rows, (8, 3), 1, (16,))
    expected = rows.astype(np.float64).var(axis=(0, 1))
    np.testing.assert_allclose(found.variance, expected, rtol=1e-6)


def test_values_close_together_far_from_zero_keep_their_variance():
    rows = (1000 + random.normal(size=(4000, 3))).astype(np.float32)
    found = over(rows, (3,), 0, range(100, 4000, 100))
    expected = rows.astype(np.float64).var(axis=0)
    np.testing.assert_allclose(found.variance, expected, rtol=1e-6)


def test_a_constant_has_no_spread():
    found = over(np.full((50, 7, 2), 0.1, np.float32), (7, 2), 1, (3, 20))
    np.testing.assert_array_equal(found.variance, [0, 0])
    np.testing.assert_array_equal(found.minimum, found.maximum)
    np.testing.assert_array_equal(found.top_samples[:, 0], [0, 1, 2, 3])


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (0, 4)])
def test_nothing_at_all(shape):
    found = over(np.zeros((5, *shape)), shape, len(shape) - 1)
    assert found.samples == 5
    assert found.histogram.sum() == found.count.sum() == 0
    assert np.isnan(found.mean).all()
    assert (found.top_samples == -1).all()
    assert RunningStatistics((3,), 0).result().samples == 0


def test_no_top_samples_need_to_be_kept():
    found = over(random.normal(size=(5, 3)), (3,), 0, top=0)
    assert found.top_values.shape == (0, 3)


# ---- interruption


def test_an_interrupted_run_goes_on_bit_by_bit():
    rows = random.normal(size=(60, 4, 5)).astype(np.float32)
    whole, first, second = (RunningStatistics((4, 5), 1) for _ in range(3))
    for start in range(0, 60, 10):
        whole.update(rows[start : start + 10], start)
        (first if start < 30 else second).update(rows[start : start + 10], start)
        if start == 20:
            second.restore(first.dump())
    assert second.dump() == whole.dump()
    assert len(whole.dump()) == 8 * (5 * (4 + 9 + 3 + 9) + 1 + BINS)


def test_the_state_of_another_layer_is_refused():
    with pytest.raises(FormatError, match="5 channels take"):
        RunningStatistics((4, 5), 1).restore(RunningStatistics((4, 6), 1).dump())


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (("y", "x", "channel"), 2),
        (("channel", "y", "x"), 0),
        (("head", "query", "key"), 0),
        (("token", "feature"), 1),
        (("y", "x"), None),
        ((), None),
    ],
)
def test_the_channels_are_the_axis_of_that_name_or_the_last(axes, expected):
    assert channel_axis(axes) == expected


# ---- of a recorded layer


def test_those_of_a_recorded_layer_are_read_in_blocks(tmp_path, monkeypatch):
    example = Example(tmp_path / "run.h5")
    example.write()
    monkeypatch.setattr(statistics, "_BYTES_PER_BLOCK", 500)
    with open_recording(example.path) as recording:
        for name, array in example.arrays.items():
            layer = recording[name]
            assert_as_numpy(layer.statistics, array, array.ndim - 2, top=9)
            assert layer.statistics is layer.statistics
        pixels = statistics.statistics_of(recording.inputs[0], top=2)
    assert_as_numpy(pixels, example.input, 2, top=2)
