import pytest

from actscope.errors import GradientError, ReductionError, UnknownLayerError
from actscope.planning import plan_wanted
from actscope.protocol import LayerInfo
from recordings import output_info


def layer(path, shape, order, **words):
    output = output_info(path, shape, order, **words)
    return LayerInfo(path, "Layer", 0, (output,))


LAYERS = [
    layer("conv", (6, 5, 4), 0),
    layer("ids", (7,), 1, dtype="int32", axes=("token",)),
    layer("block/tokens", (7, 3), 2, has_mask=True),
    layer("dense", (10,), 3),
]


def planned(**words):
    return [
        (tensor.stored.path, tensor.stored.reduction, tensor.stored.shape, tensor.stored.dtype)
        for tensor in plan_wanted(LAYERS, **words)
    ]


def test_whole_by_default():
    assert planned() == [
        ("conv", "none", (6, 5, 4), "float32"),
        ("ids", "none", (7,), "int32"),
        ("block/tokens", "none", (7, 3), "float32"),
        ("dense", "none", (10,), "float32"),
    ]


def test_one_for_all_where_it_fits():
    assert planned(reduce="max") == [
        ("conv", "max", (4,), "float32"),
        ("ids", "max", (), "int32"),
        ("block/tokens", "max", (3,), "float32"),
        ("dense", "none", (10,), "float32"),
    ]


def test_several_for_one_layer():
    found = planned(reduce={"conv": ["mean", "max", "none", "max"]})
    assert [reduction for path, reduction, _, _ in found if path == "conv"] == [
        "mean",
        "max",
        "none",
    ]


def test_globs_add_up():
    found = planned(reduce={"**": "flatten", "c*": "pool:2"})
    assert [reduction for path, reduction, _, _ in found if path == "conv"] == ["flatten", "pool:2"]


def test_casts_take_floats_alone():
    dtypes = [dtype for *_, dtype in planned(dtype="float16")]
    assert dtypes == ["float16", "int32", "float16", "float16"]


def test_a_cast_comes_after_the_reduction():
    tensor = plan_wanted(LAYERS[:1], reduce="mean", dtype="bfloat16")[0]
    assert tensor.source.dtype == "float32"
    assert (tensor.stored.shape, tensor.stored.dtype) == ((4,), "bfloat16")


def test_gradients_stand_behind_what_they_belong_to():
    wanted = plan_wanted(LAYERS, reduce={"conv": ["mean", "max"]}, gradients=True)
    assert [(t.stored.path, t.stored.reduction, t.stored.is_gradient) for t in wanted] == [
        ("conv", "mean", False),
        ("conv", "mean", True),
        ("conv", "max", False),
        ("conv", "max", True),
        ("ids", "none", False),
        ("block/tokens", "none", False),
        ("block/tokens", "none", True),
        ("dense", "none", False),
        ("dense", "none", True),
    ]


def test_integers_have_no_gradients():
    with pytest.raises(GradientError, match="floating-point"):
        plan_wanted(LAYERS[1:2], gradients=True)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"reduce": {"dense": "mean"}}, ReductionError, "'dense'.*no spatial"),
        ({"reduce": "pool:9"}, ReductionError, "'conv'.*smaller"),
        ({"reduce": {"covn": "mean"}}, UnknownLayerError, "'conv'"),
        ({"reduce": []}, ReductionError, "names no reduction"),
        ({"reduce": {"conv": "masked_mean"}}, ReductionError, "'conv'"),
        ({"reduce": {"block/tokens": "masked_mean:pad"}}, ReductionError, "no input 'pad'"),
        ({"dtype": "float8"}, ReductionError, "float16, bfloat16, float32"),
        ({"dtype": "int8"}, ReductionError, "float16, bfloat16, float32"),
    ],
)
def test_what_does_not_go_says_why(words, error, text):
    with pytest.raises(error, match=text):
        plan_wanted(LAYERS, **words)


def test_masks():
    assert plan_wanted(LAYERS, reduce={"block/tokens": "masked_mean"})[2].stored.shape == (3,)
    shapes = {"mask": (7,), "image": (8, 8)}
    reduce = {"block/tokens": "masked_mean:mask"}
    assert plan_wanted(LAYERS, reduce=reduce, input_shapes=shapes)[2].stored.shape == (3,)
    with pytest.raises(ReductionError, match=r"shape \(N, 8, 8\)"):
        plan_wanted(LAYERS, reduce={"block/tokens": "masked_mean:image"}, input_shapes=shapes)
    bare = [layer("tokens", (7, 3), 0)]
    with pytest.raises(ReductionError, match="returns no mask"):
        plan_wanted(bare, reduce={"tokens": "masked_mean"})
