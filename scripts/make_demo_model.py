"""Trains the ConvNet that the demo ships, and writes it with some of the digits it never saw.

    python scripts/make_demo_model.py

scikit-learn's handwritten digits (1,797 of 8x8, from the UCI Optical Recognition of Handwritten
Digits set) are scaled to 28x28. The same versions on the same kind of processor give the same
files, byte for byte: everything random is seeded, and the archives carry fixed dates.
"""

import io
import json
import os
import re
import zipfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parent.parent / "actscope" / "demo"
SHIPPED_DIGITS = 48
FIXED_DATE = (2026, 1, 1, 0, 0, 0)


def scaled_digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """All digits, shape `(1797, 28, 28, 1)`, values 0 to 1, and their labels."""
    digits = load_digits()
    images = [
        np.asarray(
            Image.fromarray(image.astype(np.float32)).resize((28, 28), Image.Resampling.BICUBIC)
        )
        for image in digits.images
    ]
    scaled = np.clip(np.stack(images) / 16, 0, 1)[..., None]
    # As the shipped digits are stored, in 256 steps.
    in_steps = (np.round(scaled * 255) / 255).astype(np.float32)
    return in_steps, digits.target.astype(np.int64)


def build() -> keras.Model:
    """The classic small ConvNet, layers named as Keras names them in a fresh process."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(6, 5, activation="relu", name="conv2d"),
            layers.MaxPooling2D(2, name="max_pooling2d"),
            layers.Conv2D(10, 5, activation="relu", name="conv2d_1"),
            layers.Flatten(name="flatten"),
            layers.Dense(256, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="dense_1"),
        ],
        name="digits",
    )


def rounded(weights: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """Weights at half precision, which halves the file and costs no accuracy."""
    return [weight.astype(np.float16).astype(np.float32) for weight in weights]


def write_model(model: keras.Model, path: Path) -> None:
    """Save as `.keras` with fixed dates, compressed."""
    temporary = path.with_name("unfixed.keras")
    model.save(temporary)
    with zipfile.ZipFile(temporary) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    temporary.unlink()
    metadata = json.loads(members["metadata.json"])
    metadata["date_saved"] = "2026-01-01@00:00:00"
    members["metadata.json"] = json.dumps(metadata).encode()
    members["config.json"] = without_addresses(members["config.json"])
    write_archive(path, members)


def without_addresses(config: bytes) -> bytes:
    """The configuration with objects numbered from 1 instead of by where they stood in memory."""
    text = config.decode()
    pattern = re.compile(r'("shared_object_id": )(\d+)')
    numbers: dict[str, int] = {}
    for _, address in pattern.findall(text):
        numbers.setdefault(address, len(numbers) + 1)
    return pattern.sub(lambda match: f"{match[1]}{numbers[match[2]]}", text).encode()


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    """A zip archive that depends on its content alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, FIXED_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """An array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def main() -> None:
    """Train, report the accuracy on unseen digits, and write the two files."""
    keras.utils.set_random_seed(7)
    images, labels = scaled_digits()
    order = np.random.default_rng(7).permutation(len(images))
    unseen, seen = order[:300], order[300:]
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[seen], labels[seen], batch_size=32, epochs=12, verbose=2)
    shipped = build()
    shipped.set_weights(rounded(model.get_weights()))
    shipped.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    accuracy = shipped.evaluate(images[unseen], labels[unseen], verbose=0)[1]
    print(f"accuracy on {len(unseen)} unseen digits: {accuracy:.3f}")

    final = build()
    final.set_weights(rounded(model.get_weights()))
    write_model(final, FOLDER / "digits.keras")
    # In turn 0 to 9, so that a few samples show every digit.
    by_label = [[i for i in unseen if labels[i] == digit] for digit in range(10)]
    picked = [by_label[n % 10][n // 10] for n in range(SHIPPED_DIGITS)]
    write_archive(
        FOLDER / "digits.npz",
        {
            "images.npy": npy(images[picked]),
            "labels.npy": npy(labels[picked].astype(np.uint8)),
        },
    )
    for file in ("digits.keras", "digits.npz"):
        print(FOLDER / file, (FOLDER / file).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
