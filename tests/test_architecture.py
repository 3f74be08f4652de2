"""The house keeps its shape: who imports whom, what is never done, what starts light."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dask_gmm"

# Room or module of dask_gmm -> what else of it may be imported there. Two stairs lead up to run,
# mixture <- fit <- run and data <- engine <- run; else only the estimator, with its inputs, joins
# them. run/config reads YAML and knows of nothing else; "" is the package itself, its version.
MAY_IMPORT = {
    "mixture": {"errors"},
    "fit": {"mixture", "errors"},
    "recipes": set(),
    "data": {"recipes", "errors"},
    "engine": {"data", "addresses", "errors"},
    "run": {
        *("mixture", "fit", "data", "engine", "recipes", "errors", "model_file", "palette"),
        *("plots", ""),
    },
    "run.config": {"addresses", "recipes", "errors"},
    "containers": set(),
    "inputs": {"containers", "mixture", "fit", "engine", "errors"},
    "given_start": {"mixture"},
    "verbosity": {"fit"},
    "estimator": {
        *("mixture", "fit", "engine", "inputs", "given_start", "verbosity", "model_file", "errors"),
        "class_table",
    },
    "selecting": {"estimator", "mixture", "fit", "engine", "inputs", "verbosity"},
    "model_file": {"mixture", "errors"},
    "features": {"data", "recipes", "model_file", "errors"},
    "plots": {"palette"},
    "class_table": {"palette"},
    "palette": set(),
    "addresses": set(),
    "errors": set(),
    "smoothing": {"mixture"},
    "": {"estimator", "features", "selecting", "smoothing", "verbosity"},
    "__main__": {"run"},
}

# Third-party module -> where in dask_gmm it may be imported, lazily or not; None: anywhere.
THIRD_PARTY = {
    "numpy": None,
    "scipy": ("mixture", "fit", "data.features"),
    "numba": ("mixture.loops", "mixture.exact"),
    "sklearn": ("fit.starts", "estimator", "inputs", "given_start", "selecting"),
    "dask": ("engine", "estimator", "inputs"),
    "distributed": ("engine", "estimator", "inputs"),
    "threadpoolctl": ("engine", "run.record"),
    "dask_jobqueue": ("engine.remote",),
    "dask_kubernetes": ("engine.remote",),
    "dask_gateway": ("engine.remote",),
    "zarr": ("data",),
    "pyarrow": ("data",),
    "fsspec": ("data",),
    "aiohttp": ("data.remote",),
    "rasterio": ("data.raster", "data.sinks.geotiff"),
    "tifffile": ("data.tiff_array",),
    "PIL": ("data", "run.report"),
    "nibabel": ("data",),
    "netCDF4": ("data",),
    "pydantic": ("run.config",),
    "pydantic_core": ("run.config",),
    "ruamel": ("run.config",),
    "click": ("run",),
    "rich_click": ("run",),
    "rich": ("run",),
    "jinja2": ("run.report",),
    "markupsafe": ("run.report",),
    "matplotlib": ("plots", "run.report"),
    "safetensors": ("model_file", "run.records"),
}
# Where a distribution's name is not its module's, and modules that come with another distribution.
DISTRIBUTION = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "ruamel": "ruamel.yaml",
    "rich_click": "rich-click",
    "pydantic_core": "pydantic",
    "aiohttp": "fsspec",  # its extra http
    "dask_jobqueue": "dask-jobqueue",
    "dask_kubernetes": "dask-kubernetes",
    "dask_gateway": "dask-gateway",
}

# Each can run code that stands in a file, or invites it.
NEVER_IMPORTED = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}
NEVER_CALLED = {"eval", "exec", "compile", "__import__"}
NEVER_PASSED = {"allow_pickle", "shell"}
NAMES_WITHOUT_MEANING = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}

HEAVY = {
    "numpy", "scipy", "sklearn", "dask", "distributed", "zarr", "pandas", "pyarrow", "matplotlib",
    "PIL", "jinja2", "pydantic", "ruamel", "safetensors", "threadpoolctl", "numba",
}  # fmt: skip


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the dotted name below dask_gmm: "" is the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute name of everything a file imports, inside functions and for types too."""
    package = (path.relative_to(ROOT).parent).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            # `from dask_gmm import x` may name a module or a value: both are looked at.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(module: str, rooms: tuple[str, ...] | set[str]) -> bool:
    return any(module == room or (room and module.startswith(f"{room}.")) for room in rooms)


def room_of(module: str) -> str:
    """Return the line of MAY_IMPORT that a module of dask_gmm, or a value in it, stands in."""
    if within(module, ("run.config",)):
        return "run.config"
    top = module.split(".")[0]
    return top if (PACKAGE / top).is_dir() or (PACKAGE / f"{top}.py").exists() else ""


FILES = python_files(PACKAGE)
SCRIPTS = python_files(*(ROOT / name for name in ("pipelines", "benchmarks", "docs")))
TESTS = python_files(ROOT / "tests")


def test_the_files_are_found():
    modules = {module_of(path) for path in FILES}
    assert {"", "mixture.kernel", "run.config", "estimator"} <= modules
    assert len(modules) > 40
    found = set(imports(PACKAGE / "run" / "cli" / "options.py"))
    assert found >= {"json", "dask_gmm.run.config.load_config"}


def test_a_module_imports_only_what_lies_below_it():
    found = []
    for path in FILES:
        module = module_of(path)
        room = room_of(module)
        assert room in MAY_IMPORT, f"{room}: give it a line in MAY_IMPORT"
        allowed = {room} | MAY_IMPORT[room] | ({"run.config"} if room == "run" else set())
        for name in imports(path):
            below = name.removeprefix("dask_gmm").removeprefix(".")
            if name.split(".")[0] == "dask_gmm" and room_of(below) not in allowed:
                found.append(f"{module} imports {name}")
    assert not found


def test_third_party_packages_stay_in_their_rooms():
    found = []
    for path in FILES:
        module = module_of(path)
        for top in {name.split(".")[0] for name in imports(path)}:
            if top in sys.stdlib_module_names or top == "dask_gmm":
                continue
            assert top in THIRD_PARTY, f"{module} imports {top}: decide where it may be"
            rooms = THIRD_PARTY[top]
            if rooms is not None and not within(module, rooms):
                found.append(f"{module} imports {top}")
    assert not found


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", text)[0] for text in requirements}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = names_of(project["dependencies"])
    extras = set().union(*map(names_of, project["optional-dependencies"].values()))
    used = {name.split(".")[0] for path in FILES for name in imports(path)}
    used = {DISTRIBUTION.get(top, top) for top in used & THIRD_PARTY.keys()}
    assert used <= declared | extras, "imported, not declared"
    assert declared <= used, "declared, not imported"


def test_nothing_can_run_code_that_stands_in_a_file():
    found = []
    for path in FILES + SCRIPTS:
        tops = {name.split(".")[0] for name in imports(path)}
        found += [f"{path}: imports {name}" for name in tops & NEVER_IMPORTED]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                names = {keyword.arg for keyword in node.keywords} & NEVER_PASSED
                if isinstance(node.func, ast.Name):
                    names |= {node.func.id} & NEVER_CALLED
                found += [f"{path}:{node.lineno}: {name}" for name in names]
    assert not found


def test_the_library_knows_nothing_of_its_scripts_and_tests():
    scripts = {"pipelines", "benchmarks", "tests", "docs"}
    for path in FILES:
        assert not scripts & {name.split(".")[0] for name in imports(path)}, path


def test_a_module_says_what_it_is_for_and_has_a_telling_name():
    sources = {path: path.read_text(encoding="utf-8") for path in FILES + SCRIPTS}
    silent = [path for path, text in sources.items() if not ast.get_docstring(ast.parse(text))]
    assert not silent
    assert not [
        path
        for path in FILES + SCRIPTS + TESTS
        if {path.stem, path.parent.name} & NAMES_WITHOUT_MEANING
    ]


@pytest.mark.parametrize("module", ["dask_gmm", "dask_gmm.run.cli"])
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & HEAVY


# Written so that this file does not find itself.
OF_ONE_MACHINE = re.compile(
    r"/[w]ork/(?:main|shared)|/[r]oot/|/[h]ome/\w|/tmp/[v]env|/opt/[w]heels"
    r"|[p]ypi\.org|[p]ythonhosted|[a]naconda\.org|--(?:extra-)?[i]ndex-url|[t]rusted-host"
)


def tracked_files() -> list[Path]:
    """Return what git tracks; without git or its directory, all that it would not ignore."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
        done = subprocess.run([*command, "--exclude-standard"], capture_output=True, check=False)
        if done.returncode == 0:
            names = done.stdout.decode().split("\0")
            return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    ignored = {line.strip("/") for line in lines} | {".git"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part in ignored for part in path.relative_to(ROOT).parts)
    ]


def test_no_file_names_a_machine_or_a_registry():
    files = tracked_files()
    assert ROOT / "README.md" in files
    for path in files:
        found = OF_ONE_MACHINE.search(path.read_bytes().decode("utf-8", errors="ignore"))
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_no_data_is_committed():
    """Data stay where they come from; what is kept here is made by this program, and small."""
    for path in tracked_files():
        assert path.stat().st_size < 500_000, path
        assert path.suffix not in {".jpg", ".jpeg", ".tif", ".tiff", ".zarr", ".parquet", ".nii"}
