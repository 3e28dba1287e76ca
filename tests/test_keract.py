"""Keract's displays and files, which need no model and no framework."""

import json

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from actscope import keract
from actscope.errors import ActscopeWarning, FormatError, MissingFileError, RenderError

mpl.use("Agg")
random = np.random.default_rng(8)


def activations(samples=1):
    return {
        "image": random.random((samples, 9, 7, 1), np.float32),
        "conv": random.normal(size=(samples, 5, 4, 6)).astype(np.float32),
        "one": random.random((samples, 5, 4, 1)).astype(np.float32),
        "constant": np.full((samples, 5, 4, 3), 2.5, np.float32),
        "lstm": [random.random((samples, 6, 3)), random.random((samples, 3))],
        "block/dense": random.random((samples, 12)).astype(np.float32),
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_layer_gets_a_picture_of_its_own(tmp_path):
    keract.display_activations(
        activations(), cmap="gray", save=True, directory=tmp_path / "new/folder", fig_size=(4, 3)
    )
    assert names(tmp_path / "new/folder") == [
        *("0_image.png", "1_conv.png", "2_one.png", "3_constant.png"),
        *("4_lstm[0].png", "5_lstm[1].png", "6_block.png"),
    ]
    with Image.open(tmp_path / "new/folder/1_conv.png") as picture:
        assert picture.size[0] > 200


def test_the_first_sample_is_drawn_and_the_others_are_told_of(tmp_path):
    with pytest.warns(ActscopeWarning, match="first of 5 samples"):
        keract.display_activations(
            {"a": random.random((5, 4, 4, 2))}, save=True, directory=tmp_path
        )
    assert names(tmp_path) == ["0_a.png"]


def test_rectangles_and_channels_first(tmp_path):
    values = {"dense": random.random((1, 12)), "prime": random.random((1, 7))}
    keract.display_activations(values, save=True, directory=tmp_path, reshape_1d_layers=True)
    maps = {"conv": random.random((1, 3, 8, 9))}
    keract.display_activations(
        maps, save=True, directory=tmp_path / "first", data_format="channels_first"
    )
    assert names(tmp_path / "first") == ["0_conv.png"]
    with pytest.raises(RenderError, match="data_format='last'"):
        keract.display_activations(maps, save=True, directory=tmp_path, data_format="last")


@pytest.mark.parametrize("merge_filters", [False, True])
@pytest.mark.parametrize(
    "image",
    [
        random.integers(0, 255, (1, 9, 7, 1)).astype(np.float32),
        random.random((9, 7)),
        random.random((9, 7, 3)),
        random.integers(0, 255, (9, 7, 3)).astype(np.uint8),
    ],
    ids=["batch", "grey", "colour", "bytes"],
)
def test_heatmaps_of_any_image_which_stays_as_it_is(tmp_path, image, merge_filters):
    before = image.copy()
    values = {name: activations()[name] for name in ("conv", "one", "constant", "block/dense")}
    copies = {name: value.copy() for name, value in values.items()}
    keract.display_heatmaps(
        values, image, directory=tmp_path, save=True, merge_filters=merge_filters
    )
    assert names(tmp_path) == ["0_conv.png", "1_one.png", "2_constant.png"]
    np.testing.assert_array_equal(image, before)
    for name, value in values.items():
        np.testing.assert_array_equal(value, copies[name])


def test_gradients_of_kernels(tmp_path):
    gradients = {
        "conv/kernel:0": random.normal(size=(3, 3, 1, 4)),
        "conv/bias:0": random.normal(size=4),
        "conv_1/kernel:0": random.normal(size=(3, 3, 4, 1)),
    }
    keract.display_gradients_of_trainable_weights(gradients, directory=tmp_path, save=True)
    assert names(tmp_path) == ["0_conv.png", "1_conv_1.png"]


def test_a_name_leads_to_no_other_folder(tmp_path):
    inner = tmp_path / "a/b"
    keract.display_activations({"../../x": random.random((1, 3))}, save=True, directory=inner)
    assert names(inner) == ["0_layer.png"]
    assert names(tmp_path) == ["a"]


def test_nothing_stays_open(tmp_path, monkeypatch):
    from matplotlib import pyplot

    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(len(pyplot.get_fignums())))
    keract.display_activations({"a": random.random((1, 3)), "b": random.random((1, 4, 4, 2))})
    assert shown == [1, 1]
    assert pyplot.get_fignums() == []


def test_json_keeps_dtypes_and_order(tmp_path):
    values = activations()
    values["half"] = np.array([[1.5, np.inf]], np.float16)
    values["ids"] = np.array([[1, 2]], np.int32)
    keract.persist_to_json_file(values, tmp_path / "a.json")
    loaded = keract.load_activations_from_json_file(tmp_path / "a.json")
    assert list(loaded) == list(values)
    for name, value in values.items():
        parts = zip(value, loaded[name], strict=True) if name == "lstm" else [(value, loaded[name])]
        for before, after in parts:
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
    plain = json.loads((tmp_path / "a.json").read_text())
    assert plain["ids"] == [[1, 2]]  # lists by name, as from Keract


def test_json_from_keract_and_from_elsewhere(tmp_path):
    (tmp_path / "keract.json").write_text('{"d1": [[0.5, 1.0]]}')
    loaded = keract.load_activations_from_json_file(tmp_path / "keract.json")
    np.testing.assert_array_equal(loaded["d1"], [[0.5, 1.0]])
    (tmp_path / "other.json").write_text("[1, 2")
    with pytest.raises(FormatError, match="holds no activations"):
        keract.load_activations_from_json_file(tmp_path / "other.json")
    with pytest.raises(MissingFileError):
        keract.load_activations_from_json_file(tmp_path / "missing.json")
