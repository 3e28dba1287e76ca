"""Draws docs/gallery.md: every drawing command at least once, on real networks and awkward data.

    pip install '.[docs]'
    python scripts/make_gallery.py [WORD ...]

With words only the pictures whose names hold one of them are drawn anew. The recordings are made
in a temporary folder; give another in ACTSCOPE_GALLERY to keep them from run to run. The
screenshots of the report need Chromium, the names in other scripts fonts such as those of Noto.
"""

import itertools
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from actscope.cli import cli

DOCS = Path(__file__).parent.parent / "docs"
PICTURES = DOCS / "pictures" / "gallery"
LARGEST = 280_000
"""Bytes of a picture; those that are larger lose what is hardly seen, and become smaller."""

QUALITIES = (80, 55)
WIDEST = (4200, 2800, 2000)
TOKENS = "TOKENS"
"""Stands for the words that the transformer has read."""


@dataclass(frozen=True)
class Shot:
    """One picture of the gallery.

    Attributes:
        name: of its file, with the suffix.
        words: of the command below `actscope render`, without `-o`.
        caption: what it shows.
        width: in per cent of the page.
    """

    name: str
    words: tuple[str, ...]
    caption: str
    width: int = 60


@dataclass(frozen=True)
class Section:
    """Pictures under one heading."""

    title: str
    text: str
    shots: tuple[Shot, ...]


DIGITS = Section(
    "A network that reads digits",
    'The demo\'s ConvNet on handwritten digits, recorded with `gradients="predicted"`, '
    "`statistics=True` and the inputs.",
    (
        Shot(
            "digits-grid.webp",
            ("grid", "digits.h5", "conv2d", "--sample", "digit-03"),
            "All channels of a convolution for one sample.",
        ),
        Shot(
            "digits-channel.webp",
            ("grid", "digits.h5", "conv2d", "--channel", "2", "--samples", "16"),
            "One channel for sixteen samples.",
        ),
        Shot(
            "digits-sorted.webp",
            ("grid", "digits.h5", "conv2d_1", "--sort", "--scale", "channel"),
            "The strongest channel first, each over its own range.",
        ),
        Shot(
            "digits-heatmap.webp",
            ("heatmap", "digits.h5", "conv2d_1", "--sample", "digit-03", "--merge", "max"),
            "The strongest channel at each position, over the digit.",
        ),
        Shot(
            "digits-heatmap-each.webp",
            ("heatmap", "digits.h5", "conv2d", "--sample", "digit-03", "--merge", "none"),
            "Each channel over the digit.",
        ),
        Shot(
            "digits-grad-cam.webp",
            ("heatmap", "digits.h5", "conv2d_1", "--sample", "5", "--method", "grad-cam"),
            "Grad-CAM: what counts for the class that was predicted.",
            45,
        ),
        Shot(
            "digits-grad-cam-plus-plus.webp",
            ("heatmap", "digits.h5", "conv2d_1", "--sample", "5", "--method", "grad-cam++"),
            "Grad-CAM++: small and repeated parts count too.",
            45,
        ),
        Shot(
            "digits-hirescam.webp",
            ("heatmap", "digits.h5", "conv2d_1", "--sample", "5", "--method", "hirescam"),
            "HiResCAM: what counts for the class, and in blue what counts against it.",
            45,
        ),
        Shot(
            "digits-vector.webp",
            ("vector", "digits.h5", "dense_1", "--sample", "digit-03"),
            "A dense layer as bars.",
        ),
        Shot(
            "digits-tile.webp",
            ("vector", "digits.h5", "dense", "--sample", "digit-03", "--tile"),
            "A dense layer as a tile.",
            45,
        ),
        Shot(
            "digits-top.webp",
            ("top", "digits.h5", "conv2d_1", "--channel", "0", "--channel", "3"),
            "The digits that activate two channels most, with the activation over them.",
            90,
        ),
        Shot(
            "digits-histogram.webp",
            ("histogram", "digits.h5", "conv2d_1"),
            "How the values of a layer are distributed.",
        ),
        Shot(
            "digits-histograms.webp",
            ("histogram", "digits.h5"),
            "How those of all layers are, below each other.",
            70,
        ),
        Shot(
            "digits-statistics.webp",
            ("statistics", "digits.h5"),
            "What becomes of the values on their way through the network.",
        ),
        Shot(
            "digits-embedding.webp",
            ("embedding", "digits.h5", "dense"),
            "A map of the samples by what a layer makes of them, coloured by label.",
        ),
        Shot(
            "digits-flow.webp",
            ("flow", "digits.h5", "--sample", "digit-03"),
            "One digit's way through the network.",
            80,
        ),
        Shot(
            "digits-compare.webp",
            ("compare", "digits.h5", "bfloat16.h5", "conv2d_1", "--sample", "digit-03"),
            "The same layer in float32 and in bfloat16, and the difference.",
            100,
        ),
        Shot(
            "digits-training.gif",
            (
                *("animate", "training.h5", "dense_1", "--kind", "vector"),
                *("--sample", "digit-03", "--fps", "2"),
            ),
            "The output for one sample after each of twelve epochs of a training.",
        ),
        Shot(
            "digits-samples.gif",
            ("animate", "digits.h5", "conv2d", "--kind", "heatmap", "--samples", "4"),
            "A heat map over four samples, all in the same colours.",
            45,
        ),
    ),
)

PHOTOGRAPH = Section(
    "ResNet50 on a photograph",
    "With random weights, all layers: the portrait of the astronaut Eileen Collins from "
    "scikit-image (NASA, in the public domain).",
    (
        Shot(
            "resnet-heatmap.webp",
            ("heatmap", "resnet50.h5", "conv2_block3_out", "--sample", "astronaut"),
            "The mean of 256 channels over the photograph.",
        ),
        Shot(
            "resnet-grid.webp",
            ("grid", "resnet50.h5", "conv1_relu"),
            "64 channels of 112×112.",
            80,
        ),
        Shot(
            "resnet-strongest.webp",
            ("grid", "resnet50.h5", "conv5_block3_out"),
            "Of 2,048 channels the 256 strongest.",
            80,
        ),
        Shot(
            "resnet-page.webp",
            ("grid", "resnet50.h5", "conv5_block3_out", "--page", "8"),
            "Of the same, the last page.",
            80,
        ),
        Shot(
            "resnet-vector.webp",
            ("vector", "resnet50.h5", "avg_pool"),
            "2,048 values, which are too many for bars.",
        ),
        Shot(
            "resnet-statistics.webp",
            ("statistics", "resnet50.h5"),
            "Half of all values are zero after each ReLU, and ever more channels are dead.",
            100,
        ),
        Shot(
            "resnet-flow.webp",
            ("flow", "resnet50.h5"),
            "108 of the layers on one page, spread evenly.",
            100,
        ),
    ),
)

SERIES = Section(
    "An LSTM on a series",
    "Trained on yearly sunspot numbers (statsmodels) to foretell the next year's.",
    (
        Shot(
            "sunspots-sequence.webp",
            ("sequence", "sunspots.h5", "lstm", "--sample", "1744–1809"),
            "Sixteen channels over 66 years.",
            80,
        ),
        Shot(
            "sunspots-heatmap.webp",
            ("heatmap", "sunspots.h5", "lstm", "--sample", "1744–1809", "--channel", "3"),
            "One of them behind the series that it has read.",
            80,
        ),
        Shot(
            "sunspots-channel.webp",
            ("grid", "sunspots.h5", "lstm", "--channel", "3", "--samples", "23"),
            "The same channel for all windows of the series, a row for each.",
            80,
        ),
        Shot(
            "sunspots-flow.webp",
            ("flow", "sunspots.h5", "--sample", "1744–1809"),
            "Through the whole network.",
            80,
        ),
    ),
)

TRANSFORMER = Section(
    "A transformer with attention",
    "Two blocks of causal attention with four heads each, trained to go on with the aphorisms of "
    "the Zen of Python.",
    (
        Shot(
            "zen-attention.webp",
            ("attention", "zen.h5", "block_0_attention/softmax", "--tokens", TOKENS),
            "Four heads: which words look at which.",
            90,
        ),
        Shot(
            "zen-head.webp",
            (
                "attention",
                "zen.h5",
                "block_1_attention/softmax_1",
                "--head",
                "2",
                "--tokens",
                TOKENS,
            ),
            "One head, large.",
            70,
        ),
        Shot(
            "zen-merged.webp",
            ("attention", "zen.h5", "block_1_attention/softmax_1", "--merge", "mean"),
            "The mean of the heads. Without `--tokens` the numbers of the stored tokens are shown.",
            70,
        ),
        Shot(
            "zen-sequence.webp",
            ("sequence", "zen.h5", "block_1"),
            "The channels of a block over the words.",
            50,
        ),
        Shot(
            "zen-flow.webp",
            ("flow", "zen.h5"),
            "Through the whole network.",
            100,
        ),
    ),
)

AWKWARD = Section(
    "What makes pictures go wrong",
    "Unusual shapes, values and names, each recorded by a model.",
    (
        Shot(
            "channels-first.webp",
            ("grid", "channels-first.h5", "conv2d", "--sample", "3"),
            "Channels first.",
        ),
        Shot(
            "one-channel.webp",
            ("grid", "one-channel.h5", "conv2d"),
            "One channel of one sample, which has neither id nor label.",
            45,
        ),
        Shot(
            "constant.webp",
            ("grid", "constant.h5", "conv2d"),
            "Constant maps.",
            45,
        ),
        Shot(
            "not-finite.webp",
            ("grid", "not-finite.h5", "conv2d"),
            "NaN and infinities are magenta and counted.",
        ),
        Shot(
            "not-finite-heatmap.webp",
            ("heatmap", "not-finite.h5", "conv2d"),
            "So are they in what is laid over the input.",
            45,
        ),
        Shot(
            "bfloat16.webp",
            ("grid", "bfloat16.h5", "conv2d", "--sample", "digit-03"),
            "bfloat16.",
        ),
        Shot(
            "float16-histogram.webp",
            ("histogram", "float16.h5", "dense"),
            "float16.",
        ),
        Shot(
            "volume.webp",
            ("volume", "volume.h5", "conv3d", "--channel", "1"),
            "A channel of a three-dimensional convolution, slice by slice.",
        ),
        Shot(
            "scripts-channel.webp",
            ("grid", "scripts.h5", "conv2d", "--channel", "2"),
            "Samples whose ids are in other scripts.",
        ),
        Shot(
            "scripts-embedding.webp",
            ("embedding", "scripts.h5", "conv2d"),
            "So are these labels.",
        ),
    ),
)

SECTIONS = (DIGITS, PHOTOGRAPH, SERIES, TRANSFORMER, AWKWARD)

SCREENSHOTS = (
    ("report.webp", (1200, 800), "light", "#layer=conv2d&sample=3", "The report, of the digits."),
    ("report-dark.webp", (1200, 800), "dark", "", "Its overview, on dark ground."),
    ("report-phone.webp", (390, 780), "light", "#layer=conv2d_1&sample=3", "The same, on a phone."),
)


def draw(shot: Shot, recordings: Path, tokens: str) -> None:
    """Draw one picture with its command, and keep it small."""
    words = [tokens if word == TOKENS else word for word in shot.words]
    words = [str(recordings / word) if word.endswith(".h5") else word for word in words]
    suffix = ".gif" if shot.name.endswith(".gif") else ".png"
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / f"drawn{suffix}"
        cli.main(["render", *words, "-o", str(drawn)], standalone_mode=False)
        if suffix == ".gif":
            (PICTURES / shot.name).write_bytes(drawn.read_bytes())
        else:
            compress(drawn, PICTURES / shot.name)


def compress(drawn: Path, kept: Path) -> None:
    """A picture as WebP, without loss where that makes it small enough."""
    with Image.open(drawn) as opened:
        image = opened.convert("RGB")
    image.save(kept, lossless=True, method=6)
    for side, quality in itertools.product(WIDEST, QUALITIES):
        if kept.stat().st_size > LARGEST:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            image.save(kept, quality=quality, method=6)


def photograph_report(recordings: Path) -> None:
    """Screenshots of the report in Chromium."""
    import shutil

    from playwright.sync_api import sync_playwright

    import actscope

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    page = actscope.report(
        recordings / "digits.h5", recordings / "report.html", samples=6, overwrite=True
    ).resolve()
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height), scheme, place, _ in SCREENSHOTS:
            opened = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            opened.goto(page.as_uri() + place)
            drawn = Path(folder) / "drawn.png"
            opened.screenshot(path=drawn)
            compress(drawn, PICTURES / name)
        browser.close()


def page() -> str:
    """The gallery's text."""
    lines = [
        "# Gallery",
        "",
        "Everything here is drawn from recordings alone, by the command below each picture; "
        "[Pictures](pictures.md) says what the commands do. `python scripts/make_gallery.py` makes "
        "the recordings and this page.",
        "",
    ]
    for section in SECTIONS:
        lines += [f"## {section.title}", "", section.text, ""]
        for shot in section.shots:
            lines += [_image(shot.name, shot.caption, shot.width), "", shot.caption, ""]
            lines += ["```", _command(shot), "```", ""]
    lines += ["## The report", "", "```", "actscope report digits.h5 -o report.html", "```", ""]
    for name, (width, _), _, _, caption in SCREENSHOTS:
        lines += [_image(name, caption, 80 if width > 600 else 35), "", caption, ""]
    return "\n".join(lines)


def _image(name: str, caption: str, width: int) -> str:
    return f'<img src="pictures/gallery/{name}" width="{width}%" alt="{caption}">'


def _command(shot: Shot) -> str:
    words = ['"There should be one -- and …"' if word == TOKENS else word for word in shot.words]
    picture = shot.name.replace(".webp", ".png")
    return f"actscope render {' '.join(words)} -o {picture}"


def main(chosen: list[str]) -> None:
    """Make the recordings that are missing, draw the pictures, and write the page."""
    import gallery_recordings

    warnings.simplefilter("ignore")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        recordings = Path(os.environ.get("ACTSCOPE_GALLERY", temporary))
        recordings.mkdir(exist_ok=True)
        if not (recordings / "zen.h5").exists():
            gallery_recordings.record_all(recordings)
        tokens = " ".join(gallery_recordings.longest_aphorism())
        for section in SECTIONS:
            for shot in section.shots:
                if not chosen or any(word in shot.name for word in chosen):
                    draw(shot, recordings, tokens)
        if not chosen or "report" in chosen:
            photograph_report(recordings)
    (DOCS / "gallery.md").write_text(page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
