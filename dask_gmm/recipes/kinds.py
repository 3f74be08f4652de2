"""The kinds of feature: what each is, and which keys it takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of feature.

    Parameters
    ----------
    sentence : str
        What it is.
    n_inputs : int
        How many bands, or expressions of bands, it is made of.
    scale : {"", "sigma", "radius"}
        What its scale means; "": it has none. A radius is whole.
    options : tuple of str
        Its other keys.
    """

    sentence: str
    n_inputs: int = 1
    scale: str = ""
    options: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it takes, those that it needs first."""
        of = ("of",) if self.n_inputs else ()
        return ("kind", *of, *(("scale",) if self.scale else ()), *self.options)

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that it needs."""
        return tuple(key for key in self.keys if key not in self.options)


KINDS: dict[str, Kind] = {
    "gaussian": Kind("the Gaussian mean of the surroundings", scale="sigma"),
    "gradient": Kind("how steep the Gaussian mean is, per pixel", scale="sigma"),
    "laplacian": Kind("the Laplacian of the Gaussian mean", scale="sigma"),
    "mean": Kind("the mean of a square of pixels", scale="radius"),
    "std": Kind("the standard deviation in a square of pixels", scale="radius"),
    "range": Kind("the largest less the smallest value in a square of pixels", scale="radius"),
    "log": Kind("the natural logarithm"),
    "quantile": Kind("the rank among all rows, as a normal or uniform score", options=("to",)),
    "lab": Kind("CIE L*a*b* of red, green and blue", n_inputs=3, options=("white",)),
    "hsv": Kind("hue, saturation and value of red, green and blue", 3, options=("white",)),
    "coordinates": Kind("where the pixel lies along each axis", 0, options=("unit",)),
}

#: What the other keys mean, the words they take, and the default.
CHOICES: dict[str, tuple[str, ...]] = {"to": ("normal", "uniform"), "unit": ("pixel", "geometry")}
