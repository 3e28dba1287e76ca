"""Draws what a recording holds, from the file alone: feature maps, heat maps and vectors.

Figures are made without `matplotlib.pyplot`: nothing is shown, nothing is saved and no global
state changes. Nothing here knows a model framework.
"""

from actscope.render.animations import animate
from actscope.render.attentions import attention
from actscope.render.comparisons import compare
from actscope.render.depths import statistics
from actscope.render.differences import differences
from actscope.render.each import each
from actscope.render.embeddings import embedding
from actscope.render.flows import flow
from actscope.render.grids import grid
from actscope.render.heatmaps import heatmap
from actscope.render.histograms import histogram
from actscope.render.saving import save
from actscope.render.scatter import scatter
from actscope.render.sequences import sequence
from actscope.render.similarity import similarity
from actscope.render.tops import top
from actscope.render.vectors import vector
from actscope.render.volumes import volume
from actscope.render.worst import worst

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
