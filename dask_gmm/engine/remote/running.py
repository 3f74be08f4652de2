"""A scheduler that runs already: named by its address, or by the file it has written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dask_gmm.engine.remote.meeting import Around, Meeting, security_of
from dask_gmm.errors import ConfigurationError, TemporaryFailureError

LOOK_AT = "see that `dask worker` processes run and name this scheduler"
#: Seconds between looks at a file that is not there yet.
_PAUSE = 0.2


@contextmanager
def at_address(around: Around, *, address: str, tls: dict[str, Any] | None) -> Iterator[Meeting]:
    """Use the scheduler at an address."""
    yield Meeting(address, LOOK_AT, security_of(tls))


@contextmanager
def by_scheduler_file(
    around: Around, *, path: str, tls: dict[str, Any] | None
) -> Iterator[Meeting]:
    """Use the scheduler whose address a file holds; wait for the file."""
    end = time.monotonic() + around.timeout
    while (address := _address_in(Path(path))) is None:
        if time.monotonic() > end:
            raise TemporaryFailureError(
                f"{path}: no scheduler has written its address there within {around.timeout} s; "
                "start `dask scheduler --scheduler-file` with this path, which both must see"
            )
        time.sleep(_PAUSE)
    yield Meeting(address, LOOK_AT, security_of(tls))


def _address_in(path: Path) -> str | None:
    """Return the address that a scheduler file holds; None where it is not (fully) written."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: cannot be read as a scheduler file ({error}); correct cluster.path"
        ) from error
    try:
        address = json.loads(text)["address"]
    except json.JSONDecodeError:
        return None
    except (KeyError, TypeError):
        address = None
    if not isinstance(address, str):
        raise ConfigurationError(f"{path}: holds no scheduler's address; name its scheduler file")
    return address
