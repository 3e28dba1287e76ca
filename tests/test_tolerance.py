import numpy as np
import pytest

from actscope.comparing.divergence import first_diverging, jumps
from actscope.comparing.precision import (
    FORMATS,
    coarser,
    dtype_roundoff,
    policy_roundoff,
)
from actscope.comparing.tolerance import ToleranceError, checked, tolerance_at


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_formats_are_those_of_numpy(dtype):
    info = np.finfo(dtype)
    assert dtype_roundoff(dtype) == info.eps / 2
    assert FORMATS[dtype].least_exponent == info.minexp


def test_bfloat16_is_that_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    info = ml_dtypes.finfo(ml_dtypes.bfloat16)
    assert dtype_roundoff("bfloat16") == float(info.eps) / 2
    assert FORMATS["bfloat16"].least_exponent == info.minexp


def test_policies():
    assert policy_roundoff("mixed_float16") == 2.0**-11
    assert policy_roundoff("int8_from_mixed_bfloat16") == 2.0**-8
    assert policy_roundoff("float32") == 2.0**-24
    assert policy_roundoff("") == policy_roundoff("unheard_of") == 0.0


def test_the_coarser_of_two():
    assert coarser("float32", "bfloat16") == FORMATS["bfloat16"]
    assert coarser("int32", "float16") == FORMATS["float16"]
    assert coarser("int32", "bool") is None


def test_it_grows_with_depth_and_roundoff():
    depths = [tolerance_at(depth, 2.0**-24) for depth in range(200)]
    assert depths == sorted(depths)
    assert depths[99] == pytest.approx(10 * depths[0])
    by_format = [tolerance_at(0, FORMATS[name].unit_roundoff) for name in FORMATS]
    assert by_format == sorted(by_format)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_it_covers_inner_products_but_not_by_much(dtype):
    """The largest of 20,000 rounding errors of inner products of 1,024 terms, against float64."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(20_000, 1024)), random.normal(size=1024)
    rounded = [side.astype(dtype).astype(np.float32) for side in (a, b)]
    computed = (rounded[0] @ rounded[1]).astype(dtype).astype(np.float64)
    exact = a @ b
    scale = np.sqrt(np.mean(exact**2))
    worst = np.max(np.abs(computed - exact) / np.maximum(np.abs(exact), scale))
    allowed = tolerance_at(0, dtype_roundoff(dtype))
    assert worst < allowed < 200 * worst


def test_what_the_user_gives():
    assert tolerance_at(7, 2.0**-24, checked("1e-3")) == tolerance_at(0, 0.0, 1e-3) == 1e-3
    assert tolerance_at(3, 2.0**-24, checked("tensorfloat32")) == tolerance_at(3, 2.0**-11)
    assert tolerance_at(3, 2.0**-8, checked("float32")) == tolerance_at(3, 2.0**-8)
    for wrong in ("bfloat", "-1", "nan", -1.0, float("inf")):
        with pytest.raises(ToleranceError):
            checked(wrong)


def test_where_runs_part():
    assert first_diverging([0.0, 0.02, 0.05, 0.9]) is None
    assert first_diverging([]) is None
    assert first_diverging([0.0, 0.02, 400.0, 500.0]) == 2
    # A fault just within the tolerance, magnified by the next layer, is where they part.
    assert first_diverging([0.05, 0.9, 1.3, 3.0]) == 1
    # The first rounding of a coarse format is not, where strains grow beyond 1 step by step.
    assert first_diverging([0.0, 0.45, 0.5, 0.7, 1.1, 5.0]) == 4
    # A second and larger fault later is not the first.
    assert first_diverging([0.05, 20.0, 30.0, 1e6]) == 1
    # Only one side is NaN.
    assert first_diverging([0.05, 0.06, float("inf"), float("inf")]) == 2


def test_jumps_count_rounding_alike():
    assert jumps([0.0, 0.01, 0.05]) == pytest.approx([0.0, 0.02, 0.1])
    assert jumps([0.05, 5.0, 10.0]) == pytest.approx([0.1, 10.0, 2.0])
    assert jumps([float("inf"), 3.0]) == [float("inf"), 1.0]
