"""Makes the recordings that the gallery draws: small networks on real data, and awkward data.

All are made anew each time, in under two minutes on two cores. The data come with packages:
handwritten digits (scikit-learn), a photograph (scikit-image), sunspot numbers (statsmodels) and
the Zen of Python (Python itself).
"""

import codecs
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import numpy.typing as npt
from keras import layers
from PIL import Image

import actscope
from actscope_keras import Record

Values = npt.NDArray[np.float32]

DEMO = Path(actscope.__file__).parent / "demo"
WINDOW = 66  # years, six of the sun's cycles
YEARS_AT_A_TIME = 11


def demo_digits() -> tuple[Values, npt.NDArray[np.int64]]:
    """The 48 digits that come with actscope, `(48, 28, 28, 1)` from 0 to 1, and their labels."""
    with np.load(DEMO / "digits.npz") as digits:
        return digits["images"], digits["labels"]


def digit_ids(count: int) -> list[str]:
    """Names of digits."""
    return [f"digit-{number:02d}" for number in range(count)]


def record_digits(folder: Path) -> None:
    """The demo's network: `digits.h5` with gradients and statistics, `half.h5` in bfloat16."""
    model = keras.saving.load_model(DEMO / "digits.keras")
    images, labels = demo_digits()
    words: dict[str, Any] = {"layers": "all", "ids": digit_ids(len(images)), "labels": labels}
    actscope.extract(
        model,
        images,
        folder / "digits.h5",
        gradients="predicted",
        store_inputs=True,
        statistics=True,
        **words,
    )
    for dtype in ("float16", "bfloat16"):
        actscope.extract(model, images, folder / f"{dtype}.h5", dtype=dtype, **words)


def record_training(folder: Path) -> None:
    """The same network from its first steps on, after each of twelve epochs: `training.h5`."""
    keras.utils.set_random_seed(1)
    model = keras.models.clone_model(keras.saving.load_model(DEMO / "digits.keras"))
    model.compile("adam", "sparse_categorical_crossentropy")
    images, labels = demo_digits()
    record = Record(
        images[:8], folder / "training.h5", layers="all", ids=digit_ids(8), labels=labels[:8]
    )
    model.fit(images, labels, batch_size=8, epochs=12, verbose=0, callbacks=[record])


def record_photograph(folder: Path) -> None:
    """ResNet50 with random weights, on the portrait of an astronaut: `resnet50.h5`."""
    from skimage.data import astronaut

    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None)
    photograph = Image.fromarray(astronaut()).resize((224, 224), Image.Resampling.LANCZOS)
    data = np.asarray(photograph, np.float32)[np.newaxis]
    actscope.extract(
        model, data, folder / "resnet50.h5", layers="all", ids=["astronaut"], store_inputs=True
    )


def record_sunspots(folder: Path) -> None:
    """An LSTM that was trained to foretell next year's sunspot number: `sunspots.h5`."""
    from statsmodels.datasets import sunspots

    table = sunspots.load_pandas().data
    numbers = table["SUNACTIVITY"].to_numpy(np.float32) / 100
    first_year = int(table["YEAR"].iloc[0])
    starts = np.arange(len(numbers) - WINDOW)
    windows = np.stack([numbers[start : start + WINDOW] for start in starts])[..., np.newaxis]
    following = numbers[WINDOW:]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((WINDOW, 1), name="sunspots"),
            layers.LSTM(16, return_sequences=True, name="lstm"),
            layers.LSTM(8, name="lstm_1"),
            layers.Dense(1, name="next_year"),
        ],
        name="sunspot-lstm",
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(windows, following, batch_size=32, epochs=40, verbose=0)
    shown = starts[::YEARS_AT_A_TIME]
    years = [f"{first_year + start}–{first_year + start + WINDOW - 1}" for start in shown]
    actscope.extract(
        model, windows[shown], folder / "sunspots.h5", layers="all", ids=years, store_inputs=True
    )


def zen_words() -> list[list[str]]:
    """The aphorisms of the Zen of Python, each as its words and marks."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    text = codecs.decode(this.s, "rot13")
    lines = [line for line in text.splitlines()[2:] if line.strip()]
    for mark in (",", ".", "!", "*", "--"):
        lines = [line.replace(mark, f" {mark} ") for line in lines]
    return [line.split() for line in lines]


def longest_aphorism() -> list[str]:
    """The words that the transformer has read, but for the last."""
    return max(zen_words(), key=len)[:-1]


def record_zen(folder: Path) -> None:
    """A transformer trained to go on with each aphorism, on the longest of them: `zen.h5`."""
    aphorisms = zen_words()
    vocabulary = sorted({word for words in aphorisms for word in words})
    longest = max(map(len, aphorisms))
    tokens = np.zeros((len(aphorisms), longest), np.int32)
    for row, words in enumerate(aphorisms):
        tokens[row, : len(words)] = [vocabulary.index(word) + 1 for word in words]
    keras.utils.set_random_seed(0)
    model = transformer(len(vocabulary) + 1, longest - 1)
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    weights = (tokens[:, 1:] > 0).astype(np.float32)
    model.fit(tokens[:, :-1], tokens[:, 1:], sample_weight=weights, epochs=150, verbose=0)
    row = aphorisms.index(max(aphorisms, key=len))
    read = tokens[row : row + 1, :-1]
    actscope.extract(model, read, folder / "zen.h5", layers="**", store_inputs=True)


def transformer(words: int, length: int) -> keras.Model:
    """Two blocks of causal attention with four heads each, on the places and the words."""
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    places = layers.Embedding(length, 48, name="place")(keras.ops.arange(length))
    x = layers.Embedding(words, 48, name="word")(tokens) + places
    for number in range(2):
        block = f"block_{number}"
        attended = layers.MultiHeadAttention(4, 12, dropout=0.1, name=f"{block}_attention")(
            layers.LayerNormalization(name=f"{block}_norm")(x), x, use_causal_mask=True
        )
        x = layers.Add(name=f"{block}_add")([x, attended])
        y = layers.Dense(96, "gelu", name=f"{block}_up")(x)
        x = layers.Add(name=block)([x, layers.Dense(48, name=f"{block}_down")(y)])
    chances = layers.Dense(words, "softmax", name="next_word")(x)
    return keras.Model(tokens, chances, name="zen-transformer")


def record_volume(folder: Path) -> None:
    """A three-dimensional convolution with random weights over eight digits as slices."""
    images, _ = demo_digits()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((12, 28, 28, 1)),
            layers.Conv3D(4, 3, activation="relu", name="conv3d"),
        ]
    )
    stack = images[np.newaxis, :12]
    actscope.extract(model, stack, folder / "volume.h5", ids=["twelve digits"])


def record_awkward(folder: Path) -> None:
    """What makes pictures go wrong: each in a recording of its own."""
    images, _ = demo_digits()
    for name, model, data, words in _awkward(images):
        actscope.extract(
            model, data, folder / f"{name}.h5", layers="all", store_inputs=True, **words
        )


def _awkward(images: Values) -> Iterator[tuple[str, keras.Model, Values, dict[str, Any]]]:
    conv = keras.Sequential(keras.saving.load_model(DEMO / "digits.keras").layers[:1])
    keras.utils.set_random_seed(2)
    first = layers.Conv2D(6, 5, activation="relu", data_format="channels_first", name="conv2d")
    sequential = keras.Sequential([keras.Input((1, 28, 28)), first])
    first.set_weights(conv.get_weights())
    yield "channels-first", sequential, np.moveaxis(images[:4], -1, 1), {"ids": digit_ids(4)}
    one = layers.Conv2D(1, 5, name="conv2d")
    yield "one-channel", keras.Sequential([keras.Input((28, 28, 1)), one]), images[:1], {}
    constant = layers.Conv2D(4, 5, kernel_initializer="zeros", name="conv2d")
    dead = keras.Sequential([keras.Input((28, 28, 1)), constant])
    constant.set_weights([constant.get_weights()[0], np.array([0, 1.5, -0.5, 3], np.float32)])
    yield "constant", dead, images[:4], {"ids": digit_ids(4)}
    broken = images[:4].copy()
    broken[0, 13, 13, 0], broken[0, 6, 20, 0] = np.nan, np.inf
    yield "not-finite", conv, broken, {"ids": digit_ids(4)}
    ids = ["рисунок-7", "图像-三", "चित्र-३", "صورة-٣", "수-넷", "รูป-๕"]
    scripts = np.array(["семь", "三", "तीन", "ثلاثة", "넷", "ห้า"])
    yield "scripts", conv, images[:6], {"ids": ids, "labels": scripts}


def record_all(folder: Path) -> None:
    """All recordings, in `folder`."""
    record_digits(folder)
    record_training(folder)
    record_photograph(folder)
    record_sunspots(folder)
    record_volume(folder)
    record_awkward(folder)
    record_zen(folder)
