"""Numbers, sizes and durations as a person reads them; a missing one says so.

Every function takes what a run's record may hold, None included, and never raises on it: a report
must come out of a record written by another version too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat
from urllib.parse import quote

import numpy as np

MISSING = "not recorded"


def as_float(value: Any) -> float | None:
    """Return the number, or None where the record holds none (missing, text, a container)."""
    if isinstance(value, (str, bytes)) or not isinstance(value, SupportsFloat):
        return None
    return float(value)


def count(value: Any) -> str:
    """Write a whole number with thousands separators: ``14,580,000``."""
    number_ = as_float(value)
    return MISSING if number_ is None or not math.isfinite(number_) else f"{number_:,.0f}"


def number(value: Any, digits: int = 4) -> str:
    """Write `digits` significant digits, never fewer than the integer part holds."""
    x = as_float(value)
    if x is None:
        return MISSING
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else ("∞" if x > 0 else "−∞")
    if x == 0:
        return "0"
    exponent = math.floor(math.log10(abs(x)))
    if not -4 <= exponent < 9:
        return f"{x:.{digits - 1}e}".replace("-", "−")
    return f"{x:,.{max(0, digits - 1 - exponent)}f}".replace("-", "−")


def numbers(value: Any, digits: int = 4) -> str:
    """Write one number, or one per feature; a word such as ``auto`` stays as it is."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ", ".join(number(x, digits) for x in value) or MISSING
    return value if isinstance(value, str) and value else number(value, digits)


def pixel_of(record: Any) -> tuple[float, str] | None:
    """Return size and unit of a pixel, (900.0, 'metre^2'), where all inputs of a record have it."""
    found = set()
    for each in record.get("inputs") or []:
        pixel = (each.get("geometry") or {}).get("pixel") or {}
        found.add((as_float(pixel.get("size")), str(pixel.get("unit"))))
    size, unit = found.pop() if len(found) == 1 else (None, "")
    return None if size is None else (size, unit)


#: Areas and volumes in the units in which people speak of them: of how many of the geometry's one
#: consists, from how many on it is used, and its name; the largest first.
_SPOKEN = {
    "metre^2": ((1e6, 0.1, "km²"), (1.0, 0.0, "m²")),
    "millimetre^3": ((1e3, 0.1, "ml"), (1.0, 0.0, "mm³")),
    "micrometer^2": ((1e6, 0.1, "mm²"), (1.0, 0.0, "µm²")),
    "micrometer^3": ((1e9, 0.1, "mm³"), (1.0, 0.0, "µm³")),
}


def extent(rows: Any, pixel: tuple[float, str]) -> str:
    """Write the area or volume of so many pixels: ``32.8 km²``, ``1,234 ml``."""
    n, (size, unit) = as_float(rows), pixel
    if n is None:
        return MISSING
    said = unit.replace("^2", "²").replace("^3", "³")
    scales = _SPOKEN.get(unit, ((1.0, 0.0, said),))
    one, _, name = next(scale for scale in scales if n * size / scale[0] >= scale[1])
    return f"{number(n * size / one)} {name}"


def fixed(value: Any, places: int = 2) -> str:
    """Write a number with `places` decimals, however large: ``278,184,287.31``."""
    x = as_float(value)
    if x is None or not math.isfinite(x):
        return number(x)
    return f"{x:,.{places}f}".replace("-", "−")


def percent(value: Any) -> str:
    """Write a share as a percentage; a small one is not rounded to nothing: ``< 0.01 %``."""
    x = as_float(value)
    if x is None or not math.isfinite(x):
        return MISSING
    return "< 0.01 %" if 0 < x < 1e-4 else f"{100 * x:.{1 if x >= 0.01 else 2}f} %"


def size(value: Any) -> str:
    """Write bytes in binary units: ``41.7 MiB``; a size already in words stays as it is."""
    if isinstance(value, str) and value:
        return value
    x = as_float(value)
    if x is None or not math.isfinite(x):
        return MISSING
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if abs(x) < 1024 or unit == "TiB":
            break
        x /= 1024
    return f"{x:,.0f} {unit}" if unit == "bytes" else f"{x:,.1f} {unit}"


def duration(value: Any) -> str:
    """Write seconds as ``0.42 s``, ``21.4 s``, ``3 min 12 s`` or ``2 h 05 min``."""
    x = as_float(value)
    if x is None or not math.isfinite(x):
        return MISSING
    if x < 59.95:
        return f"{x:.2f} s" if x < 9.995 else f"{x:.1f} s"
    minutes, seconds = divmod(round(x), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def shape(value: Any) -> str:
    """Write a shape: ``2,700 × 5,400 × 3``."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
        return MISSING
    return " × ".join(count(n) for n in value)


def moment(value: Any) -> str:
    """Write an ISO 8601 time without the T and the fraction of a second."""
    if not value:
        return MISSING
    text = str(value).replace("T", " ")
    head, dot, fraction = text.partition(".")
    return (head + fraction.lstrip("0123456789") if dot else text).replace("+00:00", " UTC")


def text(value: Any) -> str:
    """Write anything else as it is; lists with commas, missing values as such."""
    if value is None or value == "" or value == []:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


#: The largest difference between the shares of rows that a class and a Gaussian have within one
#: ellipse, and what is said of a class up to it.
_LIKENESS = (
    (0.02, "Gaussian, as far as this shows"),
    (0.05, "nearly Gaussian"),
    (0.15, "not quite Gaussian"),
    (1.0, "far from Gaussian"),
)
#: Up to this a class counts as Gaussian.
NEARLY = 0.05


def likeness(gap: Any) -> str:
    """Say how like a Gaussian a class is, from the gap between them."""
    x = as_float(gap)
    if x is None or not math.isfinite(x):
        return MISSING
    return next((said for most, said in _LIKENESS if x <= most), _LIKENESS[-1][1])


def form_of(shape: Any) -> str:
    """Say in what a class differs from a Gaussian: its middle, and its tails; "" where in neither.

    What else may differ is seen in the drawing: steps of the values, several heaps in one class.
    """
    half, out = (as_float((shape or {}).get(name)) for name in ("inside_half", "outside_99"))
    gap = as_float((shape or {}).get("gap"))
    if half is None or out is None or gap is None or gap <= NEARLY:
        return ""
    middle = "peaked" if half > 0.52 else "flat in the middle" if half < 0.48 else ""
    tails = "long tails" if out > 0.015 else "short tails" if out < 0.005 else ""
    return ", with ".join(word for word in (middle, tails) if word)


def relative_link(path: Any) -> str | None:
    """Return a link to a file below the report, or None where `path` is not one.

    The path is untrusted: quoting the colon turns ``javascript:...`` into a file name, and
    absolute paths and ``..`` are not linked, since a run's outputs never leave its directory.
    """
    if not isinstance(path, str) or not path or path.startswith(("/", "\\")):
        return None
    parts = path.replace("\\", "/").split("/")
    return None if ".." in parts else "./" + "/".join(quote(part, safe="") for part in parts)


def kind_of_number(value: Any) -> str:
    """Write a stored dtype as NumPy calls it; what is none stays as it is."""
    return dtype_name(value) or text(value)


def is_true_color(record: Any) -> bool:
    """Tell whether the features of all inputs are red, green and blue: three of 8 bits each."""
    inputs = record.get("inputs") or []
    bits = {dtype_name(each.get("dtype")) for each in inputs if each.get("dtype") is not None}
    return (record.get("model") or {}).get("n_features") == 3 and bits == {"uint8"}


def dtype_name(value: Any) -> str | None:
    """Return NumPy's plain name of a stored dtype (uint8 for '|u1'), or None for what is none."""
    try:
        return np.dtype(value).name if isinstance(value, str) else None
    except TypeError:
        return None
