"""Find an array in a local Zarr hierarchy, format 2 or 3."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path

from dask_gmm.errors import ConfigurationError, InputDataError


def locate_array(path: Path, variable: str | None) -> Path:
    """Return the directory of an array: `path` itself, or `variable` inside the group at `path`.

    Raises
    ------
    InputDataError
        If there is no Zarr at `path`.
    ConfigurationError
        If `variable` is needed, superfluous, or names no array.
    """
    kind = _node_kind(path)
    if kind is None:
        raise InputDataError(_no_zarr(path))
    if kind == "array":
        if variable is not None:
            raise ConfigurationError(
                f"source.variable: found {variable!r}, but {path} is itself an array; "
                "set variable: null"
            )
        return path
    inside = _arrays_inside(path)
    name = None if variable is None else variable.strip("/")
    if name in inside:
        return path / name
    found = "null" if variable is None else repr(variable)
    close = difflib.get_close_matches(name or "", inside, n=1)
    raise ConfigurationError(
        f"source.variable: found {found}, but {path} is a group "
        + (f"with the arrays {', '.join(inside)}" if inside else "without any array")
        + (f"; did you mean {close[0]!r}?" if close else "; name one of them" if inside else "")
    )


def _node_kind(path: Path) -> str | None:
    """Return "array", "group" or None for what lies at `path`."""
    if (path / ".zarray").is_file() and not (path / "zarr.json").is_file():
        return "array"
    try:
        kind = json.loads((path / "zarr.json").read_bytes()).get("node_type")
    except (FileNotFoundError, NotADirectoryError):
        return "group" if (path / ".zgroup").is_file() else None
    except (ValueError, AttributeError, OSError) as error:
        raise InputDataError(
            f"{path / 'zarr.json'}: is not readable JSON ({error}); restore the file"
        ) from error
    return kind if kind in ("array", "group") else None


def _arrays_inside(group: Path) -> list[str]:
    """Return the sorted names of all arrays below a group, without looking into any of them."""
    names = []
    for parent, directories, _ in os.walk(group):
        if _node_kind(Path(parent)) == "array":
            names.append(Path(parent).relative_to(group).as_posix())
            directories.clear()
    return sorted(names)


def _no_zarr(path: Path) -> str:
    if not path.exists():
        return f"{path}: does not exist; source.path must be the directory of a Zarr array or group"
    if not path.is_dir():
        return f"{path}: is a file; allowed is the directory of a Zarr array or group"
    inside = _arrays_inside(path)
    hint = f"; below it there is {inside[0]}" if inside else ""
    return f"{path}: holds no Zarr metadata (zarr.json, .zarray or .zgroup){hint}"
