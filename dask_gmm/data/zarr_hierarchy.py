"""Find arrays in a Zarr hierarchy, format 2 or 3, wherever it lies."""

from __future__ import annotations

import difflib
import json

from dask_gmm.data.folders import Folder
from dask_gmm.errors import ConfigurationError, InputDataError

#: Levels of groups that are searched for the names of arrays, to put them into a message.
DEEPEST = 4


def locate_array(folder: Folder, variable: str | None) -> Folder:
    """Return the folder of an array: `folder` itself, or `variable` inside the group there.

    Raises
    ------
    InputDataError
        If there is no Zarr at `folder`.
    ConfigurationError
        If `variable` is needed, superfluous, or names no array.
    """
    if node_kind(folder) == "array":
        if variable is not None:
            raise ConfigurationError(
                f"source.variable: found {variable!r}, but {folder.name} is itself an array; "
                "set variable: null"
            )
        return folder
    return locate_member(folder, variable, "source.variable")


def locate_member(group: Folder, name: str | None, key: str) -> Folder:
    """Return the folder of the array `name` inside a group.

    Raises
    ------
    ConfigurationError
        Naming the configuration's `key`, if there is no such array.
    """
    wanted = (name or "").strip("/")
    if wanted and ".." not in wanted.split("/"):
        array = group.child(wanted)
        if _node_kind(array) == "array":
            return array
    inside = _arrays_inside(group)
    found = "null" if name is None else repr(name)
    close = difflib.get_close_matches(wanted, inside, n=1)
    raise ConfigurationError(
        f"{key}: found {found}, but {group.name} is a group "
        + (f"with the arrays {', '.join(inside)}" if inside else "without any array")
        + (f"; did you mean {close[0]!r}?" if close else "; name one of them" if inside else "")
    )


def node_kind(folder: Folder) -> str:
    """Return "array" or "group".

    Raises
    ------
    InputDataError
        If there is no Zarr.
    """
    kind = _node_kind(folder)
    if kind is None:
        inside = _arrays_inside(folder)
        hint = f"; below it there is {inside[0]}" if inside else ""
        raise InputDataError(f"{folder.name}: {folder.absence()}{hint}")
    return kind


def _node_kind(folder: Folder) -> str | None:
    document = folder.read("zarr.json")
    if document is None:
        if folder.read(".zarray") is not None:
            return "array"
        return "group" if folder.read(".zgroup") is not None else None
    try:
        kind = json.loads(document).get("node_type")
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputDataError(
            f"{folder.name}/zarr.json: is not readable JSON ({error}); restore the file"
        ) from error
    return kind if kind in ("array", "group") else None


def _arrays_inside(folder: Folder, depth: int = DEEPEST) -> list[str]:
    """Return the sorted names of the arrays below a folder, without looking into any of them."""
    names = list[str]()
    for name in folder.children() if depth else ():
        child = folder.child(name)
        if _node_kind(child) == "array":
            names.append(name)
        else:
            names += [f"{name}/{each}" for each in _arrays_inside(child, depth - 1)]
    return names
