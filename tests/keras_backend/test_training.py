"""`Record` leaves training as it is, and records what the model computes after each epoch."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import actscope
from actscope.errors import DataError, OutputExistsError
from actscope_keras import Record

random = np.random.default_rng(6)
X = random.normal(size=(40, 5)).astype(np.float32)
Y = (X.sum(-1) > 0).astype(np.int32)


def fit(callbacks=(), epochs=3, model=None):
    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    model = model or keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.BatchNormalization(name="normal"),
            layers.Dropout(0.4, name="dropout"),
            layers.Dense(2, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


class Snapshots(keras.callbacks.Callback):
    """The weights after each epoch, and what they give for the samples."""

    def __init__(self):
        super().__init__()
        self.hidden = []

    def on_epoch_end(self, epoch, logs=None):
        kernel, bias = self.model.get_layer("hidden").get_weights()
        self.hidden.append(np.maximum(X[:7] @ kernel + bias, 0))


def test_training_is_unchanged_and_every_epoch_is_there(tmp_path):
    plain = fit().get_weights()
    snapshots = Snapshots()
    record = Record(
        X[:7], tmp_path / "run.h5", layers="hidden", batch_size=4, ids=list("abcdefg"), labels=Y[:7]
    )
    recorded = fit([snapshots, record]).get_weights()
    for before, after in zip(plain, recorded, strict=True):
        np.testing.assert_array_equal(before, after)
    recording = actscope.open(tmp_path / "run.h5")
    assert recording.complete
    assert recording.samples == 21
    assert recording.epochs.tolist() == [1] * 7 + [2] * 7 + [3] * 7
    assert recording.ids == tuple("abcdefg" * 3)
    assert recording.labels.tolist() == Y[:7].tolist() * 3
    for epoch, expected in enumerate(snapshots.hidden, start=1):
        rows = recording.rows_of_epoch(epoch)
        np.testing.assert_allclose(recording["hidden"][rows], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(actscope.ActscopeError, match=r"no epoch 4.*\[1, 2, 3\]"):
        recording.rows_of_epoch(4)


def test_every_other_epoch_with_reductions_and_gradients(tmp_path):
    record = Record(X[:6], tmp_path / "run.h5", layers="hidden", every=2, gradients="loss", y=Y[:6])
    fit([record], epochs=5)
    recording = actscope.open(tmp_path / "run.h5")
    assert sorted(set(recording.epochs.tolist())) == [2, 4]
    assert recording["hidden"].gradient.shape == (12, 8)


def test_a_training_that_ends_early_leaves_what_was_recorded(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.stop_training = True

    fit([Record(X[:6], tmp_path / "run.h5"), Stop()], epochs=5)
    recording = actscope.open(tmp_path / "run.h5")
    assert (recording.samples, recording.planned, recording.complete) == (12, 30, False)
    assert set(recording.epochs.tolist()) == {1, 2}


def test_a_training_that_fails_keeps_the_epochs_before(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("out of patience")

    with pytest.raises(RuntimeError, match="out of patience"):
        fit([Record(X[:6], tmp_path / "run.h5"), Fail()], epochs=5)
    assert actscope.open(tmp_path / "run.h5").samples == 12


def test_a_subclassed_model_that_fit_builds(tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(3, name="hidden")
            self.out = layers.Dense(2, activation="softmax", name="out")

        def call(self, inputs, training=False):
            return self.out(ops.tanh(self.hidden(inputs)))

    fit([Record(X[:6], tmp_path / "run.h5")], epochs=2, model=Model())
    assert list(actscope.open(tmp_path / "run.h5")) == ["hidden", "out"]


def test_wrong_input(tmp_path):
    (tmp_path / "there.h5").write_bytes(b"something")
    with pytest.raises(OutputExistsError):
        Record(X, tmp_path / "there.h5")
    with pytest.raises(DataError, match="every=0"):
        Record(X, tmp_path / "run.h5", every=0)
    with pytest.raises(DataError, match="read only once"):
        Record(iter([X]), tmp_path / "run.h5")
    with pytest.raises(DataError, match="none of 3 epochs"):
        fit([Record(X, tmp_path / "run.h5", every=4)])
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.h5"]
