"""What manifest and report say of the inputs: each of many has its rows, or why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dask_gmm.data.features import bands_below
from dask_gmm.data.sources.several import SeveralSource, manifests_of, members_of
from dask_gmm.run.segmented import Segmented

if TYPE_CHECKING:
    from dask_gmm.run.job import Job


def shown_inputs(job: Job, segmented: Segmented) -> list[dict[str, Any]]:
    """Return the manifest of every input; of many, with its name, its rows, and why it failed.

    What came from the environment appears as the ``${NAME}`` that was written.
    """
    source = job.source
    found = list[dict[str, Any]]()
    members = members_of(bands_below(source))
    for manifest, member in zip(manifests_of(job.plan.manifest), members, strict=True):
        found.append(manifest.to_json())
        if member.geometry is not None:
            found[-1]["geometry"] = member.geometry.to_json()
    if not isinstance(source, SeveralSource):
        return [found[0] | _as_written(job)]
    for number, (name, shown) in enumerate(zip(source.names, found, strict=True)):
        failure = segmented.failures.get(number)
        rows = None if failure is not None else segmented.inputs[number].to_json()
        shown |= {"name": name, "rows": rows, "failure": failure}
    lost = [{"path": each.path, "failure": each.reason} for each in source.unopened]
    written = {key: value for key, value in _as_written(job).items() if key == "path"}
    return [each | written for each in found + lost]


def has_failures(job: Job, segmented: Segmented) -> bool:
    """Tell whether some of many inputs have no result."""
    source = job.source
    return bool(segmented.failures) or bool(isinstance(source, SeveralSource) and source.unopened)


def of_many_inputs(job: Job, segmented: Segmented) -> Iterator[str]:
    """Say what a careful reader should know of many inputs."""
    source = job.source
    if not isinstance(source, SeveralSource):
        return
    failed = [*(segmented.failures[i] for i in sorted(segmented.failures))]
    failed += [each.reason for each in source.unopened]
    for reason in failed:
        yield f"An input has no result: {reason}"
    for number, name in enumerate(source.names):
        counted = segmented.inputs.get(number)
        if number not in segmented.failures and counted and not counted.class_rows[1:].any():
            yield f"Input {name}: no row of it takes part; its results say masked throughout."
    systems = {m.geometry.crs for m in source.members if m.geometry is not None}
    if len(systems) > 1:
        yield (
            f"The inputs lie in {len(systems)} coordinate reference systems. The model does not "
            "look at positions, and each result keeps the system of its input."
        )


def _as_written(job: Job) -> dict[str, Any]:
    """Return what of the source came from the environment, as it was written."""
    written = job.config.redacted()["source"]
    found = job.config.source.model_dump(mode="json")
    shown = {
        key: written[key] for key in ("path", "variable", "weights") if written[key] != found[key]
    }
    if found["mask"] is not None and written["mask"] != found["mask"]:
        shown["mask"] = written["mask"]["path"]
    return shown
