"""Draws what a recording holds, from the file alone: feature maps, heat maps and vectors.

Figures are made without `matplotlib.pyplot`: nothing is shown, nothing is saved and no global
state changes. Nothing here knows a model framework. Each function is loaded when it is first used,
so that one picture does not wait for what draws the others.
"""

from typing import TYPE_CHECKING

from actscope.lazy import load_on_use

if TYPE_CHECKING:
    from actscope.render.animations import animate as animate
    from actscope.render.attentions import attention as attention
    from actscope.render.comparisons import compare as compare
    from actscope.render.depths import statistics as statistics
    from actscope.render.embeddings import embedding as embedding
    from actscope.render.flows import flow as flow
    from actscope.render.grids import grid as grid
    from actscope.render.heatmaps import heatmap as heatmap
    from actscope.render.histograms import histogram as histogram
    from actscope.render.layer_differences import differences as differences
    from actscope.render.many import each as each
    from actscope.render.saving import save as save
    from actscope.render.scatters import scatter as scatter
    from actscope.render.sequences import sequence as sequence
    from actscope.render.similarities import similarity as similarity
    from actscope.render.tops import top as top
    from actscope.render.vectors import vector as vector
    from actscope.render.volumes import volume as volume
    from actscope.render.worst_samples import worst as worst

__all__ = [
    "animate",
    "attention",
    "compare",
    "differences",
    "each",
    "embedding",
    "flow",
    "grid",
    "heatmap",
    "histogram",
    "save",
    "scatter",
    "sequence",
    "similarity",
    "statistics",
    "top",
    "vector",
    "volume",
    "worst",
]

__getattr__ = load_on_use(
    globals(),
    {
        "animate": "actscope.render.animations",
        "attention": "actscope.render.attentions",
        "compare": "actscope.render.comparisons",
        "differences": "actscope.render.layer_differences",
        "each": "actscope.render.many",
        "embedding": "actscope.render.embeddings",
        "flow": "actscope.render.flows",
        "grid": "actscope.render.grids",
        "heatmap": "actscope.render.heatmaps",
        "histogram": "actscope.render.histograms",
        "save": "actscope.render.saving",
        "scatter": "actscope.render.scatters",
        "sequence": "actscope.render.sequences",
        "similarity": "actscope.render.similarities",
        "statistics": "actscope.render.depths",
        "top": "actscope.render.tops",
        "vector": "actscope.render.vectors",
        "volume": "actscope.render.volumes",
        "worst": "actscope.render.worst_samples",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
