"""From paths, globs, lists and folders to many inputs, opened and seen to be alike."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dask_gmm.data.folders import is_url, located
from dask_gmm.data.sources import Kind, Source, SourceOptions
from dask_gmm.data.sources.several import SeveralSource, Unopened
from dask_gmm.errors import ConfigurationError, DaskGmmError, InputDataError

#: Inputs whose metadata are read at a time: a remote store answers each after a round trip.
AT_A_TIME = 16
#: Stands in the paths of mask and weights for the name of an input without its suffix.
STEM = "{stem}"
_GLOB, _REMOTE_GLOB = re.compile(r"[*?\[]"), re.compile(r"[*\[]")  # in a URL ? begins a query
_ZARR = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class Likeness:
    """What the features of inputs of one model must have in common; None: whatever it be.

    Parameters
    ----------
    where : str
        Whose features these are, in words.
    n_features : int
        D.
    names : tuple of str or None
    dtype : numpy.dtype or None
        As stored, byte order aside.
    """

    where: str
    n_features: int
    names: tuple[str, ...] | None = None
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(cls, source: Source, where: str) -> Likeness:
        """Return what a source is like."""
        dtypes = {each.newbyteorder("=") for each in source.feature_dtypes}
        dtype = dtypes.pop() if len(dtypes) == 1 else source.dtype.newbyteorder("=")
        return cls(where, source.n_features, source.feature_names, dtype)

    @property
    def dtype_name(self) -> str | None:
        """NumPy's name of the type."""
        return None if self.dtype is None else self.dtype.name

    def misfit(self, other: Likeness) -> str | None:
        """Say what is another in ``other``, as a whole sentence; None where it is like this."""
        if other.n_features != self.n_features:
            return (
                f"has {other.n_features} features, but {self.where} has {self.n_features}; "
                "inputs of one model need the same: leave it out, or set source.columns"
            )
        if self.names and other.names and self.names != other.names:
            wanted = ", ".join(self.names)
            if sorted(self.names) == sorted(other.names):
                remedy = f"the same in another order: set source.columns: [{wanted}]"
            else:
                remedy = "leave it out, or choose features that all have by source.columns"
            return (
                f"has the features {', '.join(other.names)}, but {self.where} has {wanted}; "
                f"{remedy}"
            )
        if self.dtype is not None and other.dtype != self.dtype:
            return (
                f"holds {other.dtype}, but {self.where} holds {self.dtype}; values of different "
                "types are seldom in the same units: convert it, or leave it out"
            )
        return None


def find_inputs(kind: Kind, options: SourceOptions) -> list[str] | None:
    """Return the inputs that a list, glob or folder stands for; None where it names one input.

    Raises
    ------
    InputDataError
        If a glob or folder stands for nothing.
    ConfigurationError
        If an input is named twice.
    """
    if isinstance(options.path, str):
        several = _expanded(located(options.path, options.directory), kind, options)
        if several is None:
            return None
        found = several
    else:
        found = []
        for each in options.path:
            place = located(each, options.directory)
            several = _expanded(place, kind, options)
            found += [place] if several is None else several
    if len(set(found)) < len(found):
        twice = next(place for place in found if found.count(place) > 1)
        raise ConfigurationError(
            f"source.path: {twice} is named twice, its rows would count twice; name it once"
        )
    return found


def _expanded(place: str, kind: Kind, options: SourceOptions) -> list[str] | None:
    """Return what a glob or folder stands for, in the order of names; None for a single input."""
    if is_url(place):
        return None if _REMOTE_GLOB.search(place) is None else _remote_glob(place, options)
    if Path(place).is_dir():
        return _folder(Path(place), kind)
    if _GLOB.search(place) is None or Path(place).exists():
        return None
    found = glob.glob(place, recursive=True)  # noqa: PTH207  Path's takes no absolute pattern
    if not found:
        raise InputDataError(f"{place}: matches no file; correct the glob")
    return sorted(map(os.path.normpath, found), key=_parts)


def _folder(folder: Path, kind: Kind) -> list[str] | None:
    """Return the inputs in a folder; None where the folder is itself an input."""
    inside = sorted(
        each.name
        for each in folder.iterdir()
        if each.name.lower().endswith(kind.suffixes) and not each.name.startswith(".")
    )
    if kind.is_folder and (not inside or any((folder / name).exists() for name in _ZARR)):
        return None
    if not inside:
        raise InputDataError(
            f"{folder}: holds no file whose name ends in {', '.join(kind.suffixes)}; there is "
            "nothing to read"
        )
    return [str(folder / name) for name in inside]


def _remote_glob(url: str, options: SourceOptions) -> list[str]:
    from dask_gmm.data.parquet_files import Folder

    place = Folder.of(url, options.storage_options)
    filesystem = place.filesystem()
    filesystem.invalidate_cache()  # a listing that it remembers may be of yesterday
    with place.faults(place.shown(), "its listing"):
        found = sorted(map(str, filesystem.glob(place.root)), key=_parts)
    if not found:
        raise InputDataError(f"{place.shown()}: matches nothing; correct the glob")
    return [place.at(path).shown() for path in found]


def open_inputs(
    kind: Kind, options: SourceOptions, places: Sequence[str], like: Likeness | None = None
) -> SeveralSource:
    """Open inputs, and see that they are alike.

    Parameters
    ----------
    kind : Kind
    options : SourceOptions
        Of all of them.
    places : sequence of str
        Absolute paths and URLs.
    like : Likeness, optional
        What they must be like. Where it is given, inputs that are not, or cannot be opened, are
        left out and named in the result; else they are refused.

    Raises
    ------
    InputDataError, ConfigurationError
        As their opener does; and InputDataError if inputs are not alike, or none is left.
    """
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        opened = list(pool.map(lambda place: _opened(kind, options, place), places))
    likes = [] if like is None else [_where_possible(like, opened)]
    members, names, unopened = list[Source](), list[str](), list[Unopened]()
    for place, name, source in zip(places, unique_names(places, kind), opened, strict=True):
        fault = source if isinstance(source, DaskGmmError) else _misfit(likes, source, place)
        if isinstance(source, DaskGmmError) or fault is not None:
            if like is None and fault is not None:
                raise fault
            unopened.append(Unopened(place, str(fault)))
            continue
        likes += [] if members else [Likeness.of(source, place)]
        members.append(source)
        names.append(name)
    if not members:
        first = opened[0]
        raise first if isinstance(first, DaskGmmError) else InputDataError(unopened[0].reason)
    return SeveralSource.of(members, names, unopened)


def _misfit(likes: Sequence[Likeness], source: Source, place: str) -> InputDataError | None:
    its = Likeness.of(source, place)
    found = next((why for each in likes if (why := each.misfit(its)) is not None), None)
    return None if found is None else InputDataError(f"{place}: {found}")


def _where_possible(like: Likeness, opened: Sequence[Source | DaskGmmError]) -> Likeness:
    """Ask for the type that a model was made of where some input has it, else for none."""
    found = {Likeness.of(each, "").dtype for each in opened if not isinstance(each, DaskGmmError)}
    return like if like.dtype in found else replace(like, dtype=None)


def _opened(kind: Kind, options: SourceOptions, place: str) -> Source | DaskGmmError:
    """Open one input, with its own mask and weights where these have its name."""
    stem = stem_of(place, kind)
    mask, weights = options.mask, options.weights
    try:
        return kind.open(
            replace(
                options,
                path=place,
                mask=mask and replace(mask, path=mask.path.replace(STEM, stem)),
                weights=weights and weights.replace(STEM, stem),
            )
        )
    except DaskGmmError as error:
        return error


def stem_of(place: str, kind: Kind) -> str:
    """Return the name of an input without its suffix."""
    name = PurePosixPath(place).name
    ends = (end for end in sorted(kind.suffixes, key=len, reverse=True))
    suffix = next((end for end in ends if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)] or name


def unique_names(places: Sequence[str], kind: Kind) -> list[str]:
    """Return what the results of inputs are called: their stems, if need be with their folders'."""
    stems = [_as_name(stem_of(place, kind)) for place in places]
    if _different(stems):
        return stems
    folders = [_parts(place)[:-1] for place in places]
    different = (len(set(level)) > 1 for level in zip(*folders, strict=False))
    shared = next((i for i, differs in enumerate(different) if differs), min(map(len, folders)))
    longer = [
        _as_name("-".join([*_parts(place)[shared:-1], stem]))
        for place, stem in zip(places, stems, strict=True)
    ]
    return longer if _different(longer) else list(_numbered(longer))


def _numbered(names: Sequence[str]) -> Iterator[str]:
    width = len(str(len(names)))
    yield from (f"{i:0{width}}-{name}" for i, name in enumerate(names, start=1))


def _as_name(text: str) -> str:
    """Return a text as a name of a file that is not hidden, and that no terminal obeys."""
    name = "".join(c if c.isprintable() and c not in "/\\:" else "_" for c in text)
    return f"_{name[1:]}" if name.startswith(".") else name


def _different(names: Sequence[str]) -> bool:
    return len({name.casefold() for name in names}) == len(names)


def _parts(place: str) -> list[str]:
    return place.split("/")
