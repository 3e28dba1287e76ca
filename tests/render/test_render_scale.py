import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from actscope.errors import RenderError
from actscope.render.scale import finite_range, scale_for, share_of_range

any_maps = hypothesis_numpy.arrays(
    np.float32, hypothesis_numpy.array_shapes(min_dims=4, max_dims=4, max_side=4)
)


@given(any_maps, st.sampled_from(["auto", "shared", "symmetric", "channel"]))
def test_every_scale_has_finite_ends_in_order_around_the_values(values, kind):
    scale = scale_for(values, kind)
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high
    low, high = finite_range(values)
    if scale.kind != "channel":
        assert scale.low <= low <= high <= scale.high
    if scale.kind == "symmetric":
        assert scale.low == -scale.high


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0, 1, 4], "auto", ("shared", 0, 4)),
        ([-0.1, 1, 4], "auto", ("shared", np.float32(-0.1), 4)),
        ([-3, 1, 2], "auto", ("symmetric", -3, 3)),
        ([-3, 1, 2], "shared", ("shared", -3, 2)),
        ([0, 1, 4], "symmetric", ("symmetric", -4, 4)),
        ([0, 0], "auto", ("shared", 0, 1)),
        ([5, 5], "auto", ("shared", 5, 10)),
        ([-5, -5], "auto", ("shared", -5, 0)),
        ([0, 0], "symmetric", ("symmetric", -1, 1)),
        ([np.nan, np.inf, 2, 3], "auto", ("shared", 2, 3)),
        ([np.nan, np.inf], "auto", ("shared", 0, 1)),
        ([7, 8], "channel", ("channel", 0, 1)),
    ],
)
def test_scales(values, kind, expected):
    scale = scale_for(np.array(values, np.float32), kind)
    assert (scale.kind, scale.low, scale.high) == expected
    assert scale.diverging == (expected[0] == "symmetric")


def test_an_unknown_scale_is_named():
    with pytest.raises(RenderError, match=r"no scale 'chanel': did you mean 'channel'"):
        scale_for(np.zeros(3), "chanel")


@given(any_maps)
def test_shares_go_from_0_to_1_over_each_channel(values):
    before = values.copy()
    shares = share_of_range(values)
    np.testing.assert_array_equal(values, before)
    for channel, share in zip(values.astype(np.float64), shares, strict=True):
        finite = np.isfinite(channel)
        np.testing.assert_array_equal(share[~finite], channel[~finite])
        if finite.any():
            low, high = channel[finite].min(), channel[finite].max()
            expected = (channel[finite] - low) / (high - low) if high > low else 0
            np.testing.assert_allclose(share[finite], expected)
