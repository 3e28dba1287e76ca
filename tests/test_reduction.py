"""Reductions against plain NumPy on the whole array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import ReductionError
from actscope.projection import project, sketches
from actscope.reducing import NUMPY
from actscope.reduction import apply, fits, parse, reduced
from recordings import output_info

MAPS = output_info("maps", (6, 5, 4), 0)
TOKENS = output_info("tokens", (7, 3), 1)
VECTOR = output_info("vector", (9,), 2)
FIRST = output_info("first", (4, 6, 5), 3, axes=("channel", "y", "x"), data_format="channels_first")
HEADS = output_info("heads", (2, 7, 7), 4, axes=("head", "query", "key"))


def values(output, samples=5, dtype=np.float32):
    random = np.random.default_rng(1)
    return random.normal(size=(samples, *output.shape)).astype(dtype)


def computed(output, text, array=None, mask=None):
    array = values(output) if array is None else array
    reduction = parse(text)
    result = apply(NUMPY, array, output, reduction, mask)
    described = reduced(output, reduction)
    assert result.shape == (len(array), *described.shape)
    assert len(described.axes) == len(described.shape)
    assert str(result.dtype) == described.dtype
    assert described.unreduced_shape == output.shape
    assert described.reduction == reduction.text
    return result


@pytest.mark.parametrize(
    ("output", "axes"),
    [(MAPS, (1, 2)), (TOKENS, (1,)), (FIRST, (2, 3)), (HEADS, (2, 3))],
    ids=lambda value: getattr(value, "path", ""),
)
def test_over_space_and_time(output, axes):
    array = values(output)
    np.testing.assert_allclose(computed(output, "mean"), array.mean(axes), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(computed(output, "max"), array.max(axes))
    np.testing.assert_allclose(computed(output, "std"), array.std(axes), rtol=1e-5, atol=1e-6)
    norm = np.sqrt((array.astype(np.float64) ** 2).sum(axes))
    np.testing.assert_allclose(computed(output, "l2"), norm, rtol=1e-5)


@given(st.integers(-7, 6))
def test_one_token(position):
    array = values(TOKENS)
    np.testing.assert_array_equal(computed(TOKENS, f"token:{position}"), array[:, position])


@given(st.lists(st.integers(-4, 3), min_size=1, max_size=6))
def test_listed_channels_in_the_order_asked_for(chosen):
    text = "channels:" + ",".join(map(str, chosen))
    np.testing.assert_array_equal(computed(MAPS, text), values(MAPS)[..., chosen])
    np.testing.assert_array_equal(computed(FIRST, text), values(FIRST)[:, chosen])


@given(
    st.one_of(st.none(), st.integers(-6, 6)),
    st.one_of(st.none(), st.integers(-6, 6)),
    st.one_of(st.none(), st.integers(1, 3)),
)
def test_sliced_channels(start, stop, step):
    text = f"channels:{'' if start is None else start}:{'' if stop is None else stop}"
    text += "" if step is None else f":{step}"
    expected = values(MAPS)[..., start:stop:step]
    if expected.shape[-1] == 0:
        with pytest.raises(ReductionError, match="would leave"):
            computed(MAPS, text)
    else:
        np.testing.assert_array_equal(computed(MAPS, text), expected)


def test_flatten_keeps_the_order_of_the_numbers():
    np.testing.assert_array_equal(computed(MAPS, "flatten"), values(MAPS).reshape(5, -1))


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_pooling_leaves_out_what_fills_no_window(window):
    array = values(MAPS)
    rows, columns = 6 // window, 5 // window
    expected = np.zeros((5, rows, columns, 4))
    for y in range(rows):
        for x in range(columns):
            block = array[:, y * window : (y + 1) * window, x * window : (x + 1) * window]
            expected[:, y, x] = block.mean((1, 2))
    np.testing.assert_allclose(computed(MAPS, f"pool:{window}"), expected, rtol=1e-5, atol=1e-6)
    moved = np.moveaxis(expected, -1, 1)
    array_first = np.ascontiguousarray(np.moveaxis(array, -1, 1))
    first = output_info("first", (4, 6, 5), 3, axes=("channel", "y", "x"))
    pooled = computed(first, f"pool:{window}", array_first)
    np.testing.assert_allclose(pooled, moved, rtol=1e-5, atol=1e-6)


def test_masked_mean_counts_the_tokens_that_the_mask_keeps():
    array = values(TOKENS)
    array[0, 3:] = np.nan  # padding may hold anything
    mask = np.ones((5, 7), np.int32)
    mask[0, 3:] = 0
    mask[1, 0] = 0
    result = computed(TOKENS, "masked_mean:mask", array, mask)
    np.testing.assert_allclose(result[0], array[0, :3].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result[1], array[1, 1:].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result[2:], array[2:].mean(1), rtol=1e-5, atol=1e-6)


def test_projection_is_linear_seeded_and_keeps_lengths():
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 1001)).astype(np.float32)
    small = project(NUMPY, features, 128, 3)
    assert small.shape == (200, 128)
    assert small.dtype == np.float32
    np.testing.assert_array_equal(small, project(NUMPY, features, 128, 3))
    assert np.abs(small - project(NUMPY, features, 128, 4)).max() > 1
    doubled = project(NUMPY, features[:1] * 2 + features[1:2], 128, 3)
    np.testing.assert_allclose(doubled[0], small[0] * 2 + small[1], rtol=1e-3, atol=1e-3)
    ratios = np.linalg.norm(small, axis=1) / np.linalg.norm(features, axis=1)
    assert abs(ratios.mean() - 1) < 0.03
    assert ratios.std() < 0.1


def test_the_projection_is_the_same_for_ever():
    # Written down once: Philox's raw numbers are fixed by its definition.
    (order, signs), *_ = sketches(8, 5)
    assert sorted(order.tolist()) == list(range(8))
    assert set(np.abs(signs).tolist()) == {1}
    source = np.random.Philox(key=np.array([5, 0], np.uint64))
    assert order.tolist() == np.argsort(source.random_raw(8), kind="stable").tolist()


@pytest.mark.parametrize("dtype", ["float16", "int8", "bool"])
def test_sums_are_formed_in_float32(dtype):
    output = output_info("low", (4, 4, 2), 0, dtype=dtype)
    array = (values(output) * 3).astype(dtype)
    result = computed(output, "mean", array)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, array.astype(np.float64).mean((1, 2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("output", "text", "why"),
    [
        (VECTOR, "mean", "no spatial or time axis"),
        (VECTOR, "pool:2", "it is no map"),
        (MAPS, "pool:6", "smaller than that"),
        (MAPS, "token:0", "no one token axis"),
        (TOKENS, "token:7", "there are 7 tokens"),
        (TOKENS, "token:-8", "there are 7 tokens"),
        (MAPS, "channels:4", "there are 4 channels"),
        (HEADS, "channels:0", "no channel axis"),
        (MAPS, "masked_mean", "no one token axis"),
    ],
)
def test_what_does_not_fit_says_why(output, text, why):
    assert not fits(output, parse(text))
    with pytest.raises(ReductionError, match=rf"{output.path}.*{why}"):
        reduced(output, parse(text))


@pytest.mark.parametrize(
    "text",
    ["average", "", "mean:2", "token", "token:first", "channels:", "channels:[]", "channels:0:4:0",
     "pool:0", "pool:-1", "pool", "project", "project:0", "project:8:x", "none:1", "meann"],
)  # fmt: skip
def test_malformed_reductions(text):
    with pytest.raises(ReductionError):
        parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_reduction_or_an_error_of_ours(text):
    try:
        parsed = parse(text)
    except ReductionError:
        return
    assert parse(parsed.text) == parsed


@pytest.mark.parametrize("given", [None, 3, ["mean"]])
def test_other_things_are_no_reductions(given):
    with pytest.raises(ReductionError):
        parse(given)
