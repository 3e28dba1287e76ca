import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from actscope import render
from actscope.errors import RenderError
from actscope.render import principal
from actscope.render.principal import features_of, principal_components
from actscope.store.reader import open_recording
from recordings import Example
from rendered import assert_nothing_cut_off

random = np.random.default_rng(0)
STRETCHED = random.normal(size=(60, 8)) * [9, 5, 2, 1, 1, 1, 0.5, 0.1] + 1e4


def drawn(figure):
    assert_nothing_cut_off(figure)
    return figure.axes[0]


def by_decomposition(values):
    centred = values - values.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left * sizes, sizes**2 / (sizes**2).sum()


def points_of(axes):
    return np.concatenate([np.asarray(part.get_offsets()) for part in axes.collections])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    example = Example(tmp_path_factory.mktemp("embedding") / "run.h5")
    example.write()
    return open_recording(example.path), example


# ---- principal components


@pytest.mark.parametrize("shape", [(40, 7), (9, 30), (60, 3)])
def test_principal_components_are_those_of_the_decomposition(shape):
    values = random.normal(size=shape) + 100
    scores, shares = by_decomposition(values)
    pieces = (values[:, start : start + 4] for start in range(0, shape[1], 4))
    found = principal_components(pieces, len(values), 3)
    np.testing.assert_allclose(found.shares, shares[:3], rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(scores[:, :3]), atol=1e-8)
    assert (found.scores[np.abs(found.scores).argmax(axis=0), range(3)] > 0).all()


def test_samples_that_are_not_finite_change_nothing_for_the_others():
    values = STRETCHED.copy()
    values[5, 3], values[7, 0] = np.nan, np.inf
    kept = np.delete(np.arange(60), [5, 7])
    found = principal_components(iter([values[:, :5], values[:, 5:]]), 60, 2)
    np.testing.assert_array_equal(found.kept, kept)
    np.testing.assert_allclose(
        np.abs(found.scores), np.abs(by_decomposition(STRETCHED[kept])[0][:, :2]), atol=1e-6
    )


@pytest.mark.parametrize("features", ["flatten", "mean"])
def test_features_of_a_layer_come_in_pieces(recording, monkeypatch, features):
    opened, example = recording
    monkeypatch.setattr(principal, "_ELEMENTS_PER_PIECE", 50)
    layer, rows = opened["conv2d"], np.array([0, 3, 11])
    pieces = list(features_of(layer, rows, layer.dims[1:], features))
    values = example.arrays["conv2d"][rows].astype(np.float64)
    expected = values.mean((1, 2)) if features == "mean" else values.reshape(3, -1)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, rtol=1e-12)
    assert len(pieces) == (1 if features == "mean" else 6)


# ---- pictures


def test_a_layer_is_mapped_by_its_principal_components(recording):
    opened, example = recording
    figure = render.embedding(opened["tokens"])
    axes = drawn(figure)
    values = example.arrays["tokens"].astype(np.float64).reshape(12, -1)
    scores, shares = by_decomposition(values)
    assert axes.get_xlabel() == f"principal component 1, {100 * shares[0]:.1f} %"
    assert axes.get_ylabel() == f"principal component 2, {100 * shares[1]:.1f} %"
    found = np.sort(np.abs(points_of(axes)), axis=0)
    np.testing.assert_allclose(found, np.sort(np.abs(scores[:, :2]), axis=0), atol=1e-6)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [str(label) for label in sorted(set(example.labels))]
    assert axes.texts[-1].get_text() == "Conv2D · 12 samples"


def test_names_of_classes_are_drawn_as_they_are():
    names = np.array(["_a$^$", "<b>"])[np.arange(60) % 2]
    axes = drawn(render.embedding(STRETCHED, labels=names))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["<b>", "_a$^$"]
    first, second = axes.collections
    assert first.get_facecolor().tolist() != second.get_facecolor().tolist()


def test_twenty_classes_can_be_told_apart():
    axes = drawn(render.embedding(STRETCHED, labels=np.arange(60) % 20))
    looks = {
        (tuple(part.get_facecolor()[0]), part.get_paths()[0].vertices.shape)
        for part in axes.collections
    }
    assert len(looks) == 20


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 60), np.arange(60)])
def test_numbers_have_a_colour_scale(labels):
    axes = drawn(render.embedding(STRETCHED, labels=labels))
    assert axes.child_axes[0].get_ylabel() == "label"
    assert axes.get_legend() is None
    colours = axes.collections[0].get_facecolor()
    assert len(np.unique(colours, axis=0)) == 60


def test_samples_are_thinned_out_evenly_and_the_lost_are_counted():
    values = random.normal(size=(5000, 3))
    values[0] = np.nan
    figure = render.embedding(values, figure=Figure((5, 4)))
    words = drawn(figure).texts[-1].get_text()
    assert "1,999" in words.replace("1999", "1,999")
    assert "spread over 5,000" in words
    assert "1 sample with NaN or infinities left out" in words


def test_t_sne_keeps_clusters_apart():
    pytest.importorskip("sklearn")
    groups = np.arange(60) % 3
    values = random.normal(size=(60, 5)) + 50 * groups[:, None]
    axes = drawn(render.embedding(values, "tsne", labels=groups))
    centres = [np.asarray(part.get_offsets()).mean(axis=0) for part in axes.collections]
    spreads = [np.asarray(part.get_offsets()).std(axis=0).max() for part in axes.collections]
    apart = min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 2 * max(spreads)


@pytest.mark.parametrize(
    ("method", "module", "package"),
    [("tsne", "sklearn.manifold", "scikit-learn"), ("umap", "umap", "umap-learn")],
)
def test_what_is_missing_is_named(monkeypatch, method, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RenderError, match=f"pip install {package}"):
        render.embedding(STRETCHED, method)


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        (STRETCHED, {"method": "t-sne"}, "no method 't-sne': did you mean 'tsne'"),
        (STRETCHED, {"features": "max"}, "no features 'max'"),
        (STRETCHED, {"labels": [1, 2]}, r"labels of shape \(2,\) for 60 samples"),
        (STRETCHED[:2], {}, "at least 3 samples.*there are 2"),
        (STRETCHED[:0], {}, "at least 3 samples.*there are 0"),
        (np.ones((5, 4)), {}, "all samples are equal"),
        (np.full((5, 4), np.nan), {}, "there are 0"),
        (np.ones((5, 0)), {}, "all samples are equal"),
        (3.0, {}, "a single number"),
        (np.array(["a"]), {}, "cannot be drawn"),
    ],
)
def test_what_cannot_be_mapped_is_said(values, words, message):
    with pytest.raises(RenderError, match=message):
        render.embedding(values, **words)


def test_one_number_a_sample_is_mapped_too():
    drawn(render.embedding(random.normal(size=30)))
