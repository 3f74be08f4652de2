"""What all plots share: axes that pyplot does not know, and the colours that are no class's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lines that matter, a second one beside it, lines that do not, and that warn; ink around what must
#: be seen on any ground.
STRONG, SECOND, LIGHT, ALARM, INK = "#0072b2", "#009e73", "#969696", "#d55e00", "#010101"


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the axes given, or those of a new figure of so many inches.

    The figure is not pyplot's: no backend is chosen, no figure is kept alive, no window opens.
    """
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").add_subplot()
