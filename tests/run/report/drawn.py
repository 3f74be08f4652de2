"""A page as a run makes it of what it has seen."""

from __future__ import annotations

from dask_gmm.run.report import render_report
from dask_gmm.run.report.pictures import painted
from dask_gmm.run.report.words import is_true_color


def drawn(record, history, quicklook, *more, fitted=None):
    """Paint the quicklooks and draw the page; ``fitted`` is the mixture, and the rows' profile."""
    seen = [] if quicklook is None else [quicklook, *more]
    colors = is_true_color(record)
    pictures = [painted(each, record, colors, number) for number, each in enumerate(seen)]
    return render_report(record, history, pictures, fitted)
