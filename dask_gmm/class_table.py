"""The classes of a fitted mixture as a table in HTML: what a notebook shows below the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from dask_gmm.palette import class_colors

#: Components and features shown; attributes have them all.
MOST_COMPONENTS, MOST_FEATURES = 32, 8

# Colours are the notebook's own, light or dark, but for the classes' swatches.
_CELL = "padding:2px 12px 2px 0;text-align:right;white-space:nowrap;background:none"
_SWATCH = (
    "display:inline-block;width:12px;height:12px;margin-right:6px;border-radius:3px;"
    "border:1px solid currentColor;background:{color}"
)


def class_table(
    weights: ArrayLike,
    means: ArrayLike,
    variances: ArrayLike,
    names: Sequence[str] | None = None,
    caption: str = "",
) -> str:
    """Return the components of a mixture as an HTML table with the classes' colours.

    Parameters
    ----------
    weights : (K,)
    means, variances : (K, D)
        In original units.
    names : sequence of str, optional
        Of the features.
    caption : str

    Returns
    -------
    str
        Everything that comes from outside is escaped.
    """
    w, mu, spread = np.asarray(weights), np.asarray(means), np.sqrt(np.asarray(variances))
    K, D = mu.shape
    said = [f"feature {i + 1}" for i in range(D)] if names is None else [str(n) for n in names]
    heading = ["component", "weight", *said[:MOST_FEATURES]]
    rows = [
        "<tr>"
        + _cell(f'<span style="{_SWATCH.format(color=_css(color))}"></span>{k}', "th")
        + _cell(f"{100 * w[k]:.1f} %")
        + "".join(_cell(f"{mu[k, i]:.4g} ± {spread[k, i]:.3g}") for i in range(len(heading) - 2))
        + "</tr>"
        for k, color in enumerate(class_colors(K)[:MOST_COMPONENTS])
    ]
    left_out = [
        f"{n - most} more {what}"
        for n, most, what in (
            (K, MOST_COMPONENTS, "components"),
            (D, MOST_FEATURES, "features"),
        )
        if n > most
    ]
    note = f"<p>{escape(' and '.join(left_out))}</p>" if left_out else ""
    head = "".join(_cell(escape(each), "th") for each in heading)
    return (
        '<div class="dask-gmm-classes" style="overflow-x:auto;margin-top:8px">'
        '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{note}</div>"
    )


def _cell(content: str, tag: str = "td") -> str:
    return f'<{tag} style="{_CELL}">{content}</{tag}>'


def _css(color: ArrayLike) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in np.asarray(color))
