"""What runs here depend on, looked at one by one: what was found, and what to do about it."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_gmm.engine.machine import cores, free_memory, memory
from dask_gmm.errors import DaskGmmError
from dask_gmm.run.memory import PROCESS_BYTES

if TYPE_CHECKING:
    from dask_gmm.run.config import Config

#: Distribution -> module: what brings a format or a kind of cluster.
EXTRAS = {
    "rasterio": ("rasterio", "geo"),
    "tifffile": ("tifffile", "image"),
    "nibabel": ("nibabel", "bio"),
    "netCDF4": ("netCDF4", "netcdf"),
    "s3fs": ("s3fs", "s3"),
    "aiohttp": ("aiohttp", "http"),
    "dask-jobqueue": ("dask_jobqueue", "cluster"),
    "dask-kubernetes": ("dask_kubernetes", "cluster"),
    "dask-gateway": ("dask_gateway", "cluster"),
}
GIB = 1 << 30
#: A worker process with some data, and room for temporary files.
LITTLE_MEMORY, LITTLE_DISK = 2 * GIB, GIB


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes
    ----------
    name : str
    said : str
        What was found; where it is not well, what to do.
    state : {'well', 'warns', 'fails'}
    """

    name: str
    said: str
    state: str = "well"

    def to_json(self) -> dict[str, str]:
        """Return JSON values."""
        return asdict(self)


def examine(config: Config | None = None) -> Iterator[Finding]:
    """Look at everything, one after the other.

    Parameters
    ----------
    config : Config, optional
        Whose workers are tried and whose input is opened; without it, one worker process.

    Yields
    ------
    Finding
    """
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _extras,
        _arithmetic,
        _compiled,
        _environment,
        _cores,
        _memory,
        _disk,
    )
    for look in looks:
        yield from look()
    if config is not None:
        yield from _input(config)
    yield from _workers(config)


def _python() -> Iterator[Finding]:
    import dask_gmm

    where = Path(str(dask_gmm.__file__)).parent
    yield Finding("dask-gmm", f"{dask_gmm.__version__} in {where}")
    yield Finding("Python", f"{platform.python_version()} ({platform.platform()})")


def _packages() -> Iterator[Finding]:
    """See that what is needed is there, in versions that will do."""
    needed = [each for each in metadata.requires("dask-gmm") or () if "extra ==" not in each]
    found = list[str]()
    for requirement in needed:
        name, least = _parsed(requirement)
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, f"is missing; run: python3 -m pip install '{requirement}'", "fails")
            continue
        if _numbers(version) < _numbers(least):
            said = f"{version} is older than {least}; run: python3 -m pip install '{requirement}'"
            yield Finding(name, said, "fails")
        found.append(f"{name} {version}")
    yield Finding("packages", ", ".join(found))
    dask, distributed = (metadata.version(name) for name in ("dask", "distributed"))
    if dask != distributed:
        said = f"dask {dask} and distributed {distributed} are made for each other's version alone"
        remedy = f"run: python3 -m pip install 'dask[array]=={dask}' 'distributed=={dask}'"
        yield Finding("dask", f"{said}; {remedy}", "fails")


def _parsed(requirement: str) -> tuple[str, str]:
    """Return name and least version of ``dask[array]>=2025.7``."""
    name, _, least = requirement.partition(">=")
    return name.partition("[")[0].strip(), least.partition(",")[0].partition(";")[0].strip()


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.replace("-", ".").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _extras() -> Iterator[Finding]:
    """Say which formats and clusters there is support for."""
    there, missing = list[str](), set[str]()
    for name, (module, extra) in EXTRAS.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.add(extra)
            continue
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken library may fail in any way
            reason = f"{type(error).__name__}: {error}"
            remedy = f"run: python3 -m pip install --force-reinstall '{name}'"
            yield Finding(name, f"{version} cannot be imported ({reason}); {remedy}", "warns")
            continue
        there.append(f"{name} {version}")
    said = ", ".join(there) or "none"
    if missing:
        names = ",".join(sorted(missing))
        said += f"; for the others: python3 -m pip install 'dask-gmm[{names}]'"
    yield Finding("formats and clusters", said)


def _arithmetic() -> Iterator[Finding]:
    """See which BLAS there is, and that its products are right."""
    import numpy as np

    from dask_gmm.run.record import environment

    np.linalg.inv(np.eye(2))  # it is loaded with the first product
    blas = environment()["blas"]
    if blas:
        yield Finding("BLAS", f"{blas}; a run keeps it to one thread for each of a worker's")
    else:
        said = "no BLAS library that can be kept to one thread was found"
        remedy = "set OMP_NUM_THREADS=1 and VECLIB_MAXIMUM_THREADS=1 for workers"
        yield Finding("BLAS", f"{said}; {remedy}", "warns")
    a = np.random.default_rng(0).normal(size=(96, 80))
    off = float(np.abs(a.T @ a - (a.T[:, :, None] * a[None]).sum(1)).max())
    if off > 1e-10:
        said = f"a matrix product is wrong by {off:.1e}; install another build of NumPy"
        yield Finding("BLAS", said, "fails")


def _compiled() -> Iterator[Finding]:
    """See that loops can be compiled, and are kept."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        said = "NUMBA_DISABLE_JIT is set: the kernel takes a hundred times as long; unset it"
        yield Finding("Numba", said, "warns")
        return
    try:
        from dask_gmm.mixture import loops
    except Exception as error:  # a NumPy that is too new for it, say
        said = f"cannot be imported ({type(error).__name__}: {error})"
        remedy = "run: python3 -m pip install --upgrade numba numpy"
        yield Finding("Numba", f"{said}; {remedy}", "fails")
        return
    folder = Path(loops.__file__).parent / "__pycache__"
    kept = os.environ.get("NUMBA_CACHE_DIR") or str(folder)
    version = metadata.version("numba")
    if _can_write(Path(kept)):
        yield Finding("Numba", f"{version}; what it compiles is kept in {kept}")
    else:
        said = f"{version}; {kept} cannot be written, so that every process may compile anew, some "
        remedy = "seconds; set NUMBA_CACHE_DIR to a directory that can be written"
        yield Finding("Numba", said + remedy, "warns")


def _can_write(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, or where it would be made itself."""
    try:
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.parent):
            return True
    except OSError:
        return False


def _environment() -> Iterator[Finding]:
    """Name what is set in the environment and makes runs slow or odd."""
    trim = os.environ.get("MALLOC_TRIM_THRESHOLD_")
    if trim is not None:
        said = f"MALLOC_TRIM_THRESHOLD_={trim} gives memory back for every block: a pass may take "
        yield Finding("environment", f"{said}twice as long; unset it for workers", "warns")
    names = [name for name in os.environ if name.startswith("DASK_")]
    if names:
        said = f"{', '.join(sorted(names))}: Dask's settings, which hold for our workers too"
        yield Finding("environment", said)
    if sys.flags.optimize:
        yield Finding(
            "environment", "Python runs with -O, which is not tested; leave it off", "warns"
        )


def _cores() -> Iterator[Finding]:
    n, usable = os.cpu_count() or 1, cores()
    yield Finding("cores", f"{n}" if n == usable else f"{usable} of {n} may be used here")


def _memory() -> Iterator[Finding]:
    free = free_memory()
    said = f"{memory() / GIB:.1f} GiB, {free / GIB:.1f} GiB of it free"
    workers = max(int(free // LITTLE_MEMORY), 1)
    if free < LITTLE_MEMORY:
        said += (
            f"; a worker takes {PROCESS_BYTES / GIB:.1f} GiB and its data: use one, by cluster: "
            "{kind: threads, n_workers: 1}, or free some"
        )
    else:
        said += f"; enough for {workers} worker{'s' if workers > 1 else ''} of 2 GiB"
    yield Finding("memory", said, "warns" if free < LITTLE_MEMORY else "well")


def _disk() -> Iterator[Finding]:
    import shutil

    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    said = f"{free / GIB:.1f} GiB free in {folder}"
    if free < LITTLE_DISK:
        said += "; compressed volumes are unpacked there: set TMPDIR to where there is room"
    yield Finding("temporary files", said, "warns" if free < LITTLE_DISK else "well")


def _input(config: Config) -> Iterator[Finding]:
    """Open what a configuration reads."""
    from dask_gmm.run.job import plan_configured

    try:
        plan = plan_configured(config).plan
        plan.require_fit()
    except DaskGmmError as error:
        yield Finding("input", str(error), "fails")
        return
    said = f"{plan.manifest.path}: {plan.n_rows:,} rows in {plan.n_features} features"
    yield Finding("input", said)


def _workers(config: Config | None) -> Iterator[Finding]:
    """Start or reach workers, and have one of them do something."""
    from dask_gmm.engine.cluster import local_workers
    from dask_gmm.engine.passes import Passes
    from dask_gmm.run.work import start_workers

    kind = "local" if config is None else config.cluster.kind
    began = time.monotonic()
    try:
        with local_workers(1, 1, None) if config is None else start_workers(config) as workers:
            stood = time.monotonic() - began
            n_answered = Passes([], workers.scheduler).map("doctor", _answer, [1])
            n = _count(workers.scheduler)
            dashboard = workers.dashboard
    except DaskGmmError as error:
        yield Finding(f"workers ({kind})", str(error), "fails")
        return
    except Exception as error:  # every way to workers has errors of its own
        from dask_gmm.run.failures import explained

        known = explained(error)
        said = str(known) if known is not None else f"{type(error).__name__}: {error}"
        remedy = "" if known is not None else "; see that processes may listen on 127.0.0.1"
        yield Finding(f"workers ({kind})", f"{said}{remedy}", "fails")
        return
    assert n_answered == [1]
    said = f"stood ready after {stood:.1f} s and answered"
    if n is not None:
        said = f"{n} {said}"
    if dashboard is not None:
        said += f"; the dashboard would be at {dashboard}"
    yield Finding(f"workers ({kind})", said)


def _answer(value: Any) -> Any:
    return value


def _count(scheduler: Any) -> int | None:
    """Return how many workers a distributed scheduler has."""
    if not callable(getattr(scheduler, "scheduler_info", None)):
        return None
    return len(scheduler.scheduler_info(n_workers=-1)["workers"])


def print_findings(findings: list[Finding]) -> None:
    """Print what was found, a row for each."""
    from rich.table import Table

    from dask_gmm.run.summary import SummaryConsole, plain

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    marks = {"well": ("✓", "green"), "warns": ("!", "yellow"), "fails": ("✗", "bold red")}
    for each in findings:
        mark, style = marks[each.state]
        table.add_row(plain(mark, style), plain(each.name), plain(each.said))
    SummaryConsole().print(table)
