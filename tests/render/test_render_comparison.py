import numpy as np
import pytest
from matplotlib.figure import Figure

import actscope
from actscope import render
from actscope.comparing.result import Comparison, Similarity
from actscope.errors import RenderError
from actscope.render.layer_differences import course
from actscope.render.scatters import thinned
from comparable import network, record

ODD_NAME = "<script>alert('$x^2$')</script>/" + "very_long_" * 20 + "$\\frac"
random = np.random.default_rng(0)


def pair(tmp_path, **changes):
    arrays = {
        "conv": random.normal(size=(9, 6, 7, 4)).astype(np.float32),
        "first": random.normal(size=(9, 3)).astype(np.float32),
        ODD_NAME: random.normal(size=(9, 5)).astype(np.float32),
        "flat": random.normal(size=(9,)).astype(np.float32),
    }
    others = {name: changes.get(name, lambda x: x)(array.copy()) for name, array in arrays.items()}
    return record(tmp_path / "a.h5", arrays), record(tmp_path / "b.h5", others)


def broken(rows):
    rows[4, 1] = np.nan
    return rows


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda found: hasattr(found, "get_text"))]


def test_course(tmp_path):
    found = actscope.compare(*pair(tmp_path, first=lambda rows: rows * 1.5, flat=broken_flat))
    shown = course(found.layers)
    assert shown.equal.tolist() == [True, False, True, False]
    assert shown.unmatched.tolist() == [False, False, False, True]
    assert np.isnan(shown.largest).tolist() == [True, False, True, True]
    assert shown.largest[1] == pytest.approx(1 / 3, rel=1e-6)
    known = [*shown.tolerance, shown.largest[1], shown.rms[1]]
    assert 0 < shown.low < min(known)
    assert max(known) < shown.high


def broken_flat(rows):
    rows[4] = np.nan
    return rows


def test_the_parting_layer_is_named(tmp_path):
    found = actscope.compare(*pair(tmp_path, **{ODD_NAME: lambda rows: rows + 1}))
    words = texts(render.differences(found))
    assert any(text.startswith("parts here: <script>") for text in words)
    assert any("beyond tolerance" in text for text in words)
    assert "conv" in words


def test_layers_without_differences_to_draw(tmp_path):
    equal = actscope.compare(*pair(tmp_path))
    assert not any("parts here" in text for text in texts(render.differences(equal)))
    allowed_none = actscope.compare(*pair(tmp_path), tolerance=0.0)
    assert isinstance(render.differences(allowed_none), Figure)
    with pytest.raises(RenderError, match="no layers were compared"):
        render.differences(Comparison(equal.a, equal.b, 3))


def test_many_layers_stay_legible(tmp_path):
    found = actscope.compare(
        *(record(tmp_path / f"{side}.h5", network(depth=200)) for side in "ab")
    )
    figure = render.differences(found)
    assert len(figure.axes[0].get_xticks()) <= 80
    assert figure.get_figwidth() < 17


def test_scatter_takes_the_same_elements_of_both():
    a = random.normal(size=(500, 40, 30))
    first, second = thinned(a, a + 1)
    assert len(first) == 20_000
    assert second == pytest.approx(first + 1)
    a[:, 3] = np.nan
    first, second = thinned(a, np.where(np.isnan(a), 0, a))
    assert np.isfinite(first).all()
    assert first.tolist() == second.tolist()


def test_scatter_says_what_cannot_be_drawn(tmp_path):
    a, b = pair(tmp_path)
    assert "conv" in texts(render.scatter(a["conv"], b["conv"]))
    with pytest.raises(RenderError, match="shapes"):
        render.scatter(a["conv"], b["first"])
    with pytest.raises(RenderError, match="no element that is finite"):
        render.scatter(np.full((3, 2), np.nan), np.zeros((3, 2)))


@pytest.mark.parametrize("layer", ["conv", "first", ODD_NAME, "flat"])
def test_worst_sample_side_by_side(tmp_path, layer):
    def change(rows):
        rows[(5, *(-1,) * (rows.ndim - 1))] += 9
        return rows

    a, b = pair(tmp_path, **{layer: change})
    worst = actscope.compare(a, b).layer(layer).worst
    figure = render.worst(a[layer], b[layer], worst)
    assert sum("sample 5" in text for text in texts(figure)) == 3
    panels = figure.axes[:3]
    if layer == "conv":
        shown = [np.asarray(axes.images[0].get_array()) for axes in panels]
        assert shown[0] == pytest.approx(a["conv"][5][..., 3])
        row, column = (int(line.get_data()[axis][0]) for line in panels[0].lines for axis in (1, 0))
        assert (row, column) == worst.position[:2]
    else:
        shown = [axes.lines[0].get_ydata() for axes in panels]
        assert shown[0] == pytest.approx(a[layer][5].ravel())
    assert shown[2] == pytest.approx(shown[1] - shown[0])
    assert shown[2].ravel()[-1] == pytest.approx(9, rel=1e-5)


def test_worst_with_nan(tmp_path):
    a, b = pair(tmp_path, conv=broken)
    worst = actscope.compare(a, b).layer("conv").worst
    assert isinstance(render.worst(a["conv"], b["conv"], worst), Figure)
    with pytest.raises(RenderError, match="equal shapes"):
        render.worst(a["conv"], b["first"], worst)


def test_similarity_matrix():
    values = np.array([[1.0, 0.2, np.nan], [-0.1, 0.7, 0.3]])
    found = Similarity("cka", 12, ("one", ODD_NAME), ("x", "y", "z"), values)
    figure = render.similarity(found)
    words = texts(figure)
    assert {"one", "x", "y", "z", "linear CKA"} <= set(words)
    assert any(text.startswith("<script>") for text in words)
    image = figure.axes[0].images[0]
    assert np.asarray(image.get_array())[1, 1] == 0.7
    assert image.norm.vmin == -0.1
    assert figure.axes[0].get_ylim() == (-0.5, 1.5)
    with pytest.raises(RenderError, match="no layers"):
        render.similarity(Similarity("cka", 12, (), (), np.zeros((0, 0))))


def test_drawn_on_a_figure_that_is_there(tmp_path):
    found = actscope.compare(*pair(tmp_path))
    whole = Figure(figsize=(8, 4))
    left, right = whole.subfigures(1, 2)
    assert render.differences(found, figure=left) is whole
    assert render.scatter(random.normal(size=(3, 4)), np.zeros((3, 4)), figure=right) is whole
