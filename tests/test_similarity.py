"""The measures against their published definitions, and on recordings."""

import json

import numpy as np
import pytest

import actscope
from actscope.comparing import kernels
from actscope.comparing.kernels import products
from actscope.errors import DataError
from comparable import network, record

random = np.random.default_rng(0)
METHODS = ("cka", "rsa", "svcca")


def hsic_by_definition(first, second):
    """Song et al. 2012, equation 4: sums over all tuples of distinct samples."""
    from itertools import permutations

    n = len(first)
    pairs = list(permutations(range(n), 2))
    two = np.mean([first[i, j] * second[i, j] for i, j in pairs])
    four = np.mean([first[i, j] * second[q, r] for i, j, q, r in permutations(range(n), 4)])
    three = np.mean([first[i, j] * second[i, q] for i, j, q in permutations(range(n), 3)])
    return two + four - 2 * three


def test_unbiased_hsic_is_the_mean_over_distinct_samples():
    sides = [[x @ x.T for x in random.normal(size=(2, 7, 3))] for _ in range(2)]
    found = kernels.unbiased_hsic(*sides)
    expected = [[hsic_by_definition(first, second) for second in sides[1]] for first in sides[0]]
    assert found == pytest.approx(np.array(expected))


def test_unbiased_hsic_of_independent_samples_is_zero_on_average():
    found = [
        kernels.unbiased_hsic([x @ x.T], [y @ y.T])[0, 0]
        for x, y in (random.normal(size=(2, 10, 20)) for _ in range(2000))
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def linear_cka_closed_form(x, y):
    """Kornblith et al. 2019, section 3: of centered features, biased."""
    x, y = (side - side.mean(axis=0) for side in (x, y))
    cross = np.linalg.norm(x.T @ y) ** 2
    return cross / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def likeness(method, first, second, tmp_path):
    """The similarity of one pair of layers, through recordings."""
    pair = [
        record(tmp_path / f"{name}.h5", {f"layer_{name}": array})
        for name, array in (("a", first), ("b", second))
    ]
    found = actscope.compare(*pair, similarity=method).similarity
    assert found.values.shape == (1, 1)
    return float(found.values[0, 0])


def test_cka_is_the_closed_form_where_bias_vanishes(tmp_path):
    x = random.normal(size=(3000, 4))
    y = x @ random.normal(size=(4, 5)) + random.normal(size=(3000, 5))
    assert likeness("cka", x, y, tmp_path) == pytest.approx(linear_cka_closed_form(x, y), abs=0.02)


def test_cka_of_one_batch_is_the_unbiased_estimate(tmp_path):
    x, y = random.normal(size=(12, 4)), random.normal(size=(12, 6))
    grams = x @ x.T, y @ y.T
    cross, own_x, own_y = (
        hsic_by_definition(*pair) for pair in (grams, (grams[0], grams[0]), (grams[1], grams[1]))
    )
    expected = cross / np.sqrt(own_x * own_y)
    assert likeness("cka", x, y, tmp_path) == pytest.approx(expected)


@pytest.mark.parametrize("method", METHODS)
def test_scaling_and_orthogonal_maps_change_nothing(tmp_path, method):
    x, y = random.normal(size=(300, 8)), random.normal(size=(300, 5))
    if method == "rsa":  # a correlation over features is kept by maps that keep their mean
        rotation = np.eye(8)[random.permutation(8)]
    else:
        rotation = np.linalg.qr(random.normal(size=(8, 8)))[0]
    y += x[:, :5]
    expected = likeness(method, x, y, tmp_path)
    assert 0.05 < expected < 0.95
    assert likeness(method, 3 * x @ rotation, 0.2 * y, tmp_path) == pytest.approx(expected)
    assert likeness(method, x, 2 * x @ rotation, tmp_path) == pytest.approx(1)
    assert likeness(method, y, x, tmp_path) == pytest.approx(expected)


def test_rsa_is_spearman_of_correlation_distances(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    x, y = random.normal(size=(40, 6)), random.integers(0, 3, (40, 5)).astype(float)
    y[:, 0] += np.linspace(0, 1, 40).round(1)
    above = np.triu_indices(40, 1)
    expected = stats.spearmanr(1 - np.corrcoef(x)[above], 1 - np.corrcoef(y)[above]).statistic
    assert likeness("rsa", x, y, tmp_path) == pytest.approx(expected, abs=1e-3)


def test_equal_dissimilarities_share_their_rank():
    stats = pytest.importorskip("scipy.stats")
    values = random.integers(0, 5, 100).astype(float)
    assert kernels._ranks(values) == pytest.approx(stats.rankdata(values) - 1)


def test_svcca_is_the_mean_canonical_correlation(tmp_path):
    x, y = random.normal(size=(400, 3)), random.normal(size=(400, 2))
    y[:, 0] = x[:, 0] + 0.5 * y[:, 0]
    centered = [side - side.mean(axis=0) for side in (x, y)]
    whitened = [np.linalg.qr(side)[0] for side in centered]
    expected = np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False).mean()
    assert likeness("svcca", x, y, tmp_path) == pytest.approx(expected)


def test_svcca_leaves_out_what_hardly_varies():
    x = random.normal(size=(200, 3)) * [10, 10, 0.1]
    assert kernels.directions(products(x)).shape == (200, 2)


def test_pieces_of_features_add_up(tmp_path, monkeypatch):
    x = random.normal(size=(30, 5, 4, 3)).astype(np.float32)
    whole = products(x)
    in_pieces = products(x[:, :2]) + products(x[:, 2:])
    assert in_pieces.gram == pytest.approx(whole.gram)
    assert (in_pieces.sums, in_pieces.features) == (pytest.approx(whole.sums), 60)
    before = likeness("cka", x, x[:, 1:3], tmp_path)
    monkeypatch.setattr("actscope.comparing.similarity._ELEMENTS_PER_PIECE", 100)
    assert likeness("cka", x, x[:, 1:3], tmp_path) == pytest.approx(before)


def test_samples_in_the_order_of_their_classes_do_no_harm(tmp_path):
    classes = np.sort(random.integers(0, 10, 600))
    x = np.eye(10)[classes] + 0.01 * random.normal(size=(600, 10))
    y = x @ np.linalg.qr(random.normal(size=(10, 10)))[0] + 0.01 * random.normal(size=(600, 10))
    assert likeness("cka", x, y, tmp_path) > 0.99


@pytest.mark.parametrize("method", ["cka", "svcca"])
def test_what_all_samples_share_changes_nothing(tmp_path, method):
    x = random.normal(size=(40, 4))
    y = x @ random.normal(size=(4, 4)) + random.normal(size=(40, 4))
    expected = likeness(method, x, y, tmp_path)
    assert likeness(method, x + 1e6, y - 1e6, tmp_path) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_tells_nothing_is_nan(tmp_path, method):
    constant = np.tile(random.normal(size=(1, 4)) * 1e3, (20, 1))
    arrays = {"constant": constant, "broken": random.normal(size=(20, 4))}
    arrays["broken"][3, 2] = np.nan
    arrays["fine"] = random.normal(size=(20, 4))
    a = record(tmp_path / "a.h5", arrays)
    b = record(tmp_path / "b.h5", {"other": arrays["fine"]})
    found = actscope.compare(a, b, similarity=method)
    assert np.isnan(found.similarity.values[:2, 0]).all()
    assert found.similarity.values[2, 0] == pytest.approx(1)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["within"] is None


def test_different_models_are_compared_by_similarity(tmp_path):
    a = record(tmp_path / "a.h5", network())
    second = {name.replace("dense", "unit"): rows for name, rows in network(depth=3).items()}
    other = record(tmp_path / "b.h5", second)
    found = actscope.compare(a, other)
    assert (found.layers, found.within) == ((), None)
    assert found.similarity.method == "cka"
    assert found.similarity.layers_a == tuple(network())
    assert found.similarity.layers_b == tuple(second)
    assert np.diag(found.similarity.values) == pytest.approx(np.ones(3))
    assert found.similarity.values.argmax(axis=1)[:3].tolist() == [0, 1, 2]


def test_two_selections_of_one_model_are_no_different_models(tmp_path):
    arrays = network()
    model = {"model": {"weights-sha256": "0"}}
    a = record(tmp_path / "a.h5", {"dense_0": arrays["dense_0"]}, **model)
    b = record(tmp_path / "b.h5", {"dense_1": arrays["dense_1"]}, **model)
    with pytest.raises(DataError, match="same model but share no layer"):
        actscope.compare(a, b)


def test_too_few_samples_and_unknown_methods_are_said(tmp_path):
    a = record(tmp_path / "a.h5", network(samples=3))
    with pytest.raises(DataError, match="3 samples are too few"):
        actscope.compare(a, a, similarity="cka")
    with pytest.raises(DataError, match="no similarity 'cca'"):
        actscope.compare(a, a, similarity="cca")
