"""Packages that only some formats need: imported when one is met, or named with their extra."""

from __future__ import annotations

import importlib
from typing import Any

from dask_gmm.errors import ConfigurationError


def required(module: str, extra: str, what: str, where: str) -> Any:
    """Return a module, imported.

    Parameters
    ----------
    module : str
    extra : str
        Of this package, that brings it.
    what : str
        The format that needs it.
    where : str
        Begins the message: a path or a key.

    Raises
    ------
    ConfigurationError
        With the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{where}: {what} needs the package {error.name}, which is not installed: "
            f"python3 -m pip install 'dask-gmm[{extra}]'"
        ) from error
