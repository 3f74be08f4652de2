"""The text of a first configuration: values that a look at the data proposes, with reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dask_gmm.run.forms import SUFFIX

if TYPE_CHECKING:
    from dask_gmm.run.looking import Look

#: Features of a table that are named one by one, at most.
NAMED = 64


def configuration_text(
    look: Look, answers: Mapping[str, Any], n_workers: int, memory_limit: int, schema: str
) -> str:
    """Return the YAML.

    Parameters
    ----------
    look : Look
    answers : mapping
        What was asked for: see :func:`dask_gmm.run.starting.begin`.
    n_workers, memory_limit : int
        Of the section ``cluster``; bytes.
    schema : str
        The JSON schema, relative to the file.
    """
    from dask_gmm.run.starting import name_of

    name = answers.get("name") or name_of(look.path)
    lines = [
        f"# yaml-language-server: $schema={schema}",
        "#",
        *_seen(look),
        "# Every key: the configuration's reference, or `dask-gmm schema`.",
        "",
        "version: 1",
        f"name: {_word(name)}",
        f"run_dir: {_word(f'runs/{name}')}    # model, results and report; made by the run",
        "",
        "source:",
        *_source(look),
        "",
        "standardize: true    # features count by their spread, not by their units",
        "",
        "model:",
        *_model(look, answers.get("n_components")),
        "",
        "outputs:    # labels: 0 is masked, 1 is the largest class",
        *_outputs(look, answers.get("outputs") or ["labels", "uncertainty"]),
        "",
        "# Elsewhere: kind: slurm, kubernetes, scheduler-file, ...",
        f"cluster: {{kind: local, n_workers: {n_workers}, memory_limit: {_size(memory_limit)}}}",
        "",
        "# A run that was killed goes on with the same command; a finished one is left alone.",
        "if_exists: resume",
    ]
    return "\n".join(lines) + "\n"


def _seen(look: Look) -> Iterator[str]:
    """Yield what was seen, as comments."""
    manifest = look.manifest
    shape = " x ".join(f"{n:,}" for n in look.shape)
    what = "rows" if look.kind == "parquet" else "pixels or rows"
    yield f"# {_comment(look.path)}: {shape} {what},"
    yield f"# {look.n_features} features of {manifest.dtype},"
    yield (
        f"# {manifest.decoded_bytes / 2**20:,.1f} MiB in {manifest.n_cells:,} chunks of up to "
        f"{look.cell_bytes / 2**20:,.2f} MiB."
    )
    from dask_gmm.run.starting import worth_a_look

    for each in worth_a_look(look):
        yield f"# Look at: {_comment(each)}."


def _source(look: Look) -> Iterator[str]:
    yield f"  kind: {look.kind}"
    yield f"  path: {_word(look.path)}"
    for key, value in look.options.items():
        reason = ""
        if key == "feature_axis":
            reason = "    # no axis is that of the features: there is one"
            if value is not None:
                reason = "    # the features come first"
        yield f"  {key}: {_word(value)}{reason}"
    if look.names and len(look.names) <= NAMED and look.kind != "ome-zarr":
        listed = ", ".join(_word(each) for each in look.names)
        if look.kind == "parquet":
            yield "  # All columns of numbers; take out what is no measurement, such as ids."
            yield f"  columns: [{listed}]"
        else:
            yield f"  # columns: [{listed}]    # all; or some of them"
    if look.kind != "parquet":
        yield from _masking(look)


def _masking(look: Look) -> Iterator[str]:
    if look.suspicious:
        value, share = look.suspicious
        yield f"  # {share:.1%} of the rows looked at are {value:g} in every feature. If that means"
        yield "  # no data, they should take no part:"
        yield f"  # nodata: {value:g}"
    else:
        yield "  # nodata: -9999    # by default what the data themselves declare"
    for mask in look.masks:
        yield f"  # mask: {{path: {_word(mask)}, keep: nonzero}}    # lies beside, and fits"


def _model(look: Look, n_components: int | None) -> Iterator[str]:
    if n_components is not None:
        yield f"  n_components: {n_components}"
    else:
        if look.best is not None:
            yield f"  # On a few thousand rows K = {look.best} was the best. All of these are"
            yield "  # fitted in the same readings, and BIC chooses:"
        else:
            yield "  # All of these are fitted in the same readings, and BIC chooses:"
        yield f"  n_components: [{', '.join(map(str, look.sizes))}]"
    kind = "full" if look.n_features <= 64 else "diag"
    yield f"  covariance_type: {kind}    # full, tied, diag, spherical; or a list of them"
    yield "  random_state: 0"


def _outputs(look: Look, wanted: list[str]) -> Iterator[str]:
    for name in ("labels", "uncertainty", "probabilities"):
        comment = "" if name in wanted else "# "
        yield f"  {comment}{name}: {{kind: same, path: {name}{suffix(look, name)}}}"


def suffix(look: Look, name: str) -> str:
    """Return how the name of a result ends that has the format of what is read."""
    if look.kind == "parquet":
        return ""
    if hasattr(look.manifest, "members"):  # many inputs: a folder
        return ""
    return SUFFIX.get(f"{look.kind}/{name}", SUFFIX[look.kind])


def _word(value: Any) -> str:
    """Return a value as YAML has it on one line: JSON's way."""
    plain = isinstance(value, str) and value.replace("/", "a").replace("_", "a").replace("-", "a")
    if plain and plain.replace(".", "a").isalnum() and plain.isascii() and value[:1].isalpha():
        return str(value)
    return json.dumps(value, ensure_ascii=True)


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _size(n: int) -> str:
    return f"{n >> 30}GiB" if n % (1 << 30) == 0 else f"{n >> 20}MiB"
