import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import RenderError
from actscope.render.heat import choose, resized, square_tokens
from actscope.render.layout import arrange
from actscope.render.pictures import as_picture, normalised, shrunk

random = np.random.default_rng(0)


@pytest.fixture
def maps():
    return arrange(random.normal(size=(4, 5, 3)).astype(np.float32), ("y", "x", "channel"))


@pytest.mark.parametrize(
    ("merge", "merged", "label"),
    [
        ("mean", lambda a: a.mean(0), "mean activation over channels"),
        ("max", lambda a: a.max(0), "max activation over channels"),
        ("l2", lambda a: np.sqrt((a**2).sum(0)), "L2 norm of activation over channels"),
    ],
)
def test_channels_are_merged(maps, merge, merged, label):
    heat = choose(maps, merge, None, "conv")
    np.testing.assert_allclose(heat.maps, merged(maps.values[:, 0])[None], rtol=1e-5)
    assert (heat.label, heat.words, heat.numbers) == (label, "3 channels of 4×5", ())


def test_one_channel_or_all(maps):
    one = choose(maps, "mean", -1, "conv")
    np.testing.assert_array_equal(one.maps, maps.values[2:, 0])
    assert (one.label, one.numbers) == ("activation of channel 2", ("2",))
    every = choose(maps, None, None, "conv")
    np.testing.assert_array_equal(every.maps, maps.values[:, 0])
    assert every.numbers == ("0", "1", "2")


@pytest.mark.parametrize(
    ("merge", "channel", "message"),
    [
        ("men", None, "no merge 'men': did you mean 'mean'"),
        ("mean", 3, r"no channel 3 of 'conv': the number of channels is 3 \(0 to 2\)"),
        ("mean", -4, "no channel -4"),
        ("mean", 1.5, "the channel must be a whole number, got 1.5"),
    ],
)
def test_wrong_choices_are_named(maps, merge, channel, message):
    with pytest.raises(RenderError, match=message):
        choose(maps, merge, channel, "conv")


@pytest.mark.parametrize(
    ("tokens", "side", "dropped"), [(16, 4, 0), (17, 4, 1), (1, 1, 0), (2, 1, 1)]
)
def test_tokens_form_a_square(tokens, side, dropped):
    values = random.normal(size=(tokens, 3))
    square, left_out = square_tokens(arrange(values, ("token", "channel")))
    expected = values[dropped:].T.reshape(3, 1, side, side)
    np.testing.assert_array_equal(square.values, expected)
    assert left_out == bool(dropped)


def test_other_tokens_form_none():
    with pytest.raises(RenderError, match="7 tokens form no square"):
        square_tokens(arrange(np.zeros((7, 3)), ("token", "channel")))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_nearest_repeats_every_value(height, width, factor):
    values = random.normal(size=(2, height, width)).astype(np.float32)
    values[0, 0, 0] = np.nan
    larger = resized(values, (height * factor, width * factor), "nearest")
    np.testing.assert_array_equal(larger, values.repeat(factor, 1).repeat(factor, 2))


def test_bilinear_is_linear_between_the_centres_of_pixels():
    larger = resized(np.array([[[0.0, 4.0]]]), (1, 8), "bilinear")
    np.testing.assert_allclose(larger[0, 0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4])


def test_values_that_are_not_finite_do_not_spread():
    values = np.full((1, 4, 4), 3.0)
    values[0, 1, 1], values[0, 2, 3] = np.nan, -np.inf
    larger = resized(values, (16, 16), "bilinear")
    np.testing.assert_array_equal(
        np.isnan(larger[0]), (~np.isfinite(values[0])).repeat(4, 0).repeat(4, 1)
    )
    np.testing.assert_allclose(larger[np.isfinite(larger)], 3.0, rtol=1e-6)


def test_an_unknown_interpolation_is_named():
    with pytest.raises(RenderError, match="no interpolation 'linear': did you mean 'bilinear'"):
        resized(np.zeros((1, 2, 2)), (4, 4), "linear")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 1.0], [0, 0.25, 1]),
        ([0.0, 51.0, 255.0], [0, 0.2, 1]),
        ([7.0, 7.0], [0.5, 0.5]),
        ([np.nan, 0.0, 1.0, np.inf], [0, 0, 1, 0]),
        ([np.nan], [0]),
    ],
)
def test_inputs_are_brought_to_the_display(values, expected):
    np.testing.assert_allclose(normalised(np.array(values)), expected)


@given(st.floats(-1e6, -1e-3), st.floats(1e-3, 1e6))
def test_any_other_range_fills_the_display(low, span):
    shown = normalised(low + span * np.linspace(0, 1, 400) ** 2)
    assert shown.min() == 0
    assert shown.max() == 1


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 3), (6, 7, 4), (1, 6, 7), (3, 6, 7)])
def test_every_kind_of_image_becomes_colours(shape):
    values = random.random(shape)
    values.flat[0], values.flat[-1] = 0, 1
    picture = as_picture(values)
    assert picture.shape == (6, 7, 4)
    channels = {2: values[..., None]}.get(values.ndim, values)
    if channels.shape[-1] == 7:
        channels = np.moveaxis(channels, 0, -1)
    colours = np.broadcast_to(channels[..., :3], (6, 7, 3))
    np.testing.assert_allclose(picture[..., :3], colours, atol=0.02)
    np.testing.assert_allclose(picture[..., 3], channels[..., 3] if shape[-1] == 4 else 1)


@pytest.mark.parametrize("shape", [(7,), (6, 7, 2), (2, 6, 7, 3), (0, 7, 3), ()])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(RenderError, match="is no image"):
        as_picture(np.zeros(shape))


def test_large_pictures_are_made_smaller():
    picture = np.full((100, 300, 4), 0.2)
    small = shrunk(picture, 60)
    assert small.shape == (20, 60, 4)
    np.testing.assert_allclose(small, 0.2, atol=0.01)
    assert shrunk(picture, 300) is picture
