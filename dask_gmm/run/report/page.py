"""The page: what a run has recorded, put into words, numbers and drawings.

Names, paths and warnings come from outside. The template escapes all of them, and the page's
content security policy lets nothing load and no script run but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profile import Profile
from dask_gmm.palette import MASKED_COLOR, class_colors
from dask_gmm.run.clock import DRAWING
from dask_gmm.run.report import drawings, images, words
from dask_gmm.run.report.pictures import Picture

MOST_INPUTS = 200  # in the table of inputs; manifest.json has them all
MOST_DRAWN = 12  # classes whose distances are drawn, the largest
WIDE = 5  # features; beyond this a class's means have a table of their own, features downwards

# What CONTRACT says stands in every run's directory, and what it is for.
RUN_FILES = (
    ("model.json", "model, readable"),
    ("model.safetensors", "model, to load"),
    ("history.jsonl", "history of EM"),
    ("config.yaml", "configuration"),
    ("manifest.json", "all of this page"),
)


def render_report(
    record: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    pictures: Sequence[Picture] = (),
    fitted: tuple[Parameters, Profile] | None = None,
) -> str:
    """Write a run's report.

    Parameters
    ----------
    record : mapping
        What becomes ``manifest.json``. Keys that are missing or None are shown as "not recorded".
    history : sequence of mapping
        The records of ``history.jsonl``.
    pictures : sequence of Picture
        Of the first inputs; none for a table.
    fitted : (Parameters, Profile), optional
        The mixture in original units, and the profile of the rows under it.

    Returns
    -------
    str
        The page. The same arguments give the same text.
    """
    names = _feature_names(record, pictures)
    n_classes = _n_classes(record, pictures)
    classes = _classes(record, n_classes, any(each.about.get("true_color") for each in pictures))
    timings = _timings(record)
    full = [entry for entry in history if entry.get("stage") == "full"]
    page = _template().render(
        record=record,
        names=names,
        wide=len(names) > WIDE,
        pixel=words.pixel_of(record),
        n_classes=n_classes,
        classes=classes,
        shows_mean_color=any(entry["mean_color"] for entry in classes),
        any_at_floor=any(entry.get("at_floor") for entry in classes),
        pictures=[_shown(each, record) for each in pictures],
        masked_color=_css(MASKED_COLOR),
        scale=[_css(color) for color in images.map_colors()],
        curves=_curves(history),
        selection=record.get("selection"),
        selection_curves=_selection_curves(record.get("selection")),
        views=_views(fitted, names),
        likeness=_likeness(classes, fitted),
        full_history=full,
        fell=any(entry.get("fall") for entry in full),
        last_likelihood=full[-1].get("mean_log_likelihood") if full else None,
        timings=timings,
        elapsed=_elapsed(timings),
        files=_files(record),
        most_inputs=MOST_INPUTS,
        configuration=json.dumps(record.get("configuration"), indent=2, default=str),
    )
    return page.strip() + "\n"


def _feature_names(record: Mapping[str, Any], pictures: Sequence[Picture]) -> list[str]:
    """One name per feature; as many as the model, the class means or a picture have."""
    given = list(record.get("feature_names") or [])
    means = [entry.get("mean") or [] for entry in record.get("classes") or []]
    shown = [max(each.about.get("features") or [-1]) + 1 for each in pictures]
    declared = (record.get("model") or {}).get("n_features") or 0
    n_features = max([declared, len(given), *shown, *map(len, means)])
    return [str(name) for name in given] + [
        f"feature {i + 1}" for i in range(len(given), n_features)
    ]


def _n_classes(record: Mapping[str, Any], pictures: Sequence[Picture]) -> int:
    """K, and never less than the largest label painted: every label needs a colour."""
    declared = (record.get("model") or {}).get("n_components") or 0
    listed = [entry.get("label") or 0 for entry in record.get("classes") or []]
    painted = [each.about.get("n_classes") or 0 for each in pictures]
    return max([1, declared, *painted, *listed])


def _classes(record: Mapping[str, Any], n_classes: int, true_color: bool) -> list[dict[str, Any]]:
    """Take the classes of the record with their colours, in the record's order."""
    colors = class_colors(n_classes)
    rows = []
    for position, entry in enumerate(record.get("classes") or []):
        label = entry.get("label") or position + 1
        mean = [words.as_float(x) for x in entry.get("mean") or []]
        looks = [round(x) for x in mean if x is not None and math.isfinite(x)]
        rows.append(
            {
                **entry,
                "label": label,
                "color": _css(colors[label - 1]),
                "bar": _bar(entry.get("weight"), 1.0),
                "mean": mean,
                "std": entry.get("std") or [],
                "mean_color": _css(looks) if true_color and len(looks) == 3 else None,
            }
        )
    return rows


def _shown(picture: Picture, record: Mapping[str, Any]) -> dict[str, Any]:
    """Take what a picture shows, its images by name, and the name of its input among many."""
    inputs, number = record.get("inputs") or [], picture.about.get("input") or 0
    many = len(inputs) > 1 and number < len(inputs)
    name = (inputs[number].get("name") or inputs[number].get("path")) if many else None
    seen = picture.images
    return {
        **picture.about,
        "name": name,
        "picture": seen["picture"],
        "labels": seen["classes"],
        "uncertainty": seen.get("uncertainty"),
        "probabilities": [
            (int(view[2:]), image) for view, image in seen.items() if view.startswith("p-")
        ],
    }


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, Markup]:
    """Draw each stage that the history holds, as SVG made of numbers alone."""
    drawn = {stage: drawings.convergence_svg(history, stage) for stage in ("full", "sample")}
    return {stage: Markup(svg) for stage, svg in drawn.items() if svg is not None}


def _selection_curves(selection: Mapping[str, Any] | None) -> dict[str, Markup]:
    """Draw the criteria against K, as SVG made of numbers alone; none where one K was tried."""
    drawn = {} if selection is None else drawings.selection_svgs(selection)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _views(fitted: tuple[Parameters, Profile] | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """Draw the classes over the data, a drawing for each pair of features that is looked at."""
    if fitted is None or not fitted[1].weight:
        return []
    mixture, profile = fitted
    return [
        {
            "names": [names[f] for f in features],
            "svg": Markup(svg),
            "outside": profile.outside(number),
        }
        for number, (features, svg) in enumerate(drawings.view_svgs(profile, mixture))
    ]


def _likeness(
    classes: Sequence[Mapping[str, Any]], fitted: tuple[Parameters, Profile] | None
) -> dict[str, Any] | None:
    """Take how like Gaussians the classes are; None where that was not looked at."""
    told = [
        each
        for each in classes
        if words.as_float((each.get("gaussian") or {}).get("gap")) is not None
    ]
    if not told:
        return None
    near = [each for each in told if each["gaussian"]["gap"] <= words.NEARLY]
    farthest = max(told, key=lambda each: each["gaussian"]["gap"])
    shown = sorted(told, key=lambda each: -(words.as_float(each.get("weight")) or 0.0))
    profile = None if fitted is None else fitted[1]
    return {
        "classes": told,
        "near": near,
        "share": sum(words.as_float(each.get("weight")) or 0.0 for each in near),
        "farthest": None if farthest in near else farthest,
        "every": 1 if profile is None else profile.views.every,
        "drawn": []
        if profile is None
        else [
            {**each, "svg": Markup(drawings.distance_svg(profile, each["label"] - 1))}
            for each in sorted(shown[:MOST_DRAWN], key=lambda each: each["label"])
            if each["label"] <= len(profile.distances)
        ],
    }


def _timings(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Take the steps before the page was drawn, with their shares of the longest in percent."""
    timings = [each for each in record.get("timings") or [] if each.get("step") != DRAWING]
    longest = max((words.as_float(entry.get("seconds")) or 0 for entry in timings), default=0)
    return [{**entry, "bar": _bar(entry.get("seconds"), longest)} for entry in timings]


def _elapsed(timings: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds of all steps before the page was drawn; None where there are none."""
    known = [words.as_float(each.get("seconds")) for each in timings]
    seconds = [each for each in known if each is not None]
    return sum(seconds) if seconds else None


def _bar(value: Any, whole: float) -> str:
    """Length of a bar in percent of `whole`."""
    share = (words.as_float(value) or 0.0) / whole if whole > 0 else 0.0
    return f"{100 * min(1.0, max(0.0, share)):.2f}" if math.isfinite(share) else "0"


def _files(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the outputs of the record, then the files that every run's directory holds."""
    files = [
        {"what": name, **entry}
        for name, entry in (record.get("outputs") or {}).items()
        if isinstance(entry, Mapping)
    ]
    known = {entry.get("path") for entry in files}
    return files + [{"path": path, "what": what} for path, what in RUN_FILES if path not in known]


def _css(color: Iterable[Any]) -> str:
    """Write red, green, blue as #rrggbb; what lies outside 0..255 is clipped."""
    return "#" + "".join(f"{min(255, max(0, int(channel))):02x}" for channel in color)


def _script_hash(script: str) -> str:
    """How a content security policy names the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _accepting_undefined(word: Callable[..., str]) -> Callable[..., str]:
    """Make a filter for which what is not in the record is None."""

    def filtered(value: Any, *arguments: Any) -> str:
        return word(None if isinstance(value, jinja2.Undefined) else value, *arguments)

    return filtered


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dask_gmm.run.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # A record of another version may lack whole branches: `record.fit.passes` is then empty.
        undefined=jinja2.ChainableUndefined,
    )
    environment.filters["script_hash"] = _script_hash
    environment.filters["link"] = words.relative_link
    for word in (
        "count",
        "number",
        "numbers",
        "fixed",
        "percent",
        "size",
        "duration",
        "extent",
        "shape",
        "moment",
        "likeness",
        "form_of",
        "kind_of_number",
    ):
        environment.filters[word] = _accepting_undefined(getattr(words, word))
    environment.filters["text"] = _accepting_undefined(words.text)
    return environment.get_template("page.html.jinja")
