"""A page as a run makes it of what it has seen."""

from __future__ import annotations

from dask_gmm.run.report import render_report
from dask_gmm.run.report.pictures import painted
from dask_gmm.run.report.words import dtype_name


def drawn(record, history, quicklook, *more):
    """Paint the quicklooks and draw the page."""
    seen = [] if quicklook is None else [quicklook, *more]
    inputs = record.get("inputs") or [{}]
    dtype = dtype_name(inputs[0].get("dtype"))
    pictures = [painted(each, record, dtype, number) for number, each in enumerate(seen)]
    return render_report(record, history, pictures)
