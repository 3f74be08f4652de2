"""Pictures of a fitted mixture, on matplotlib's axes: classes, ellipses, convergence, selection.

Matplotlib is imported inside the functions that draw, and never through pyplot: no backend is
chosen, no figure is kept alive, no window opens. Save a figure with ``ax.figure.savefig(path)``; in
a notebook ``ax.figure`` shows itself.
"""

from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.plots.classes import label_image, plot_classes
from dask_gmm.plots.convergence import plot_convergence
from dask_gmm.plots.distances import plot_distances
from dask_gmm.plots.ellipses import plot_density, plot_ellipses
from dask_gmm.plots.selection import plot_selection

__all__ = [
    "MASKED_COLOR",
    "class_colors",
    "label_image",
    "plot_classes",
    "plot_convergence",
    "plot_density",
    "plot_distances",
    "plot_ellipses",
    "plot_selection",
]
