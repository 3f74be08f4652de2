"""Every block of code, every configuration and every command on the pages works.

Commands of ``dask-gmm`` run in this process, their workers as threads of it: results are the same
bits, and a page takes a second. Looked up instead of run are targets of make and pipelines (minutes
each; continuous integration and `tests/test_pipelines.py` run them) and installations
(`tests/packaging`).
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from ruamel.yaml import YAML

from dask_gmm.run.cli import main as dask_gmm
from dask_gmm.run.config import load_config
from tests.docs.pages import PAGES, ROOT, blocks, links

#: What a fragment of a configuration is put into.
FRAME = ["version: 1", "name: page", "run_dir: runs/page"]
FRAME += ["source: {kind: zarr, path: data/page.zarr}", "model: {n_components: 3}"]
#: Verbs that start workers.
WORKING = {"run", "fit", "predict", "select", "demo"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WITH_CODE = [page for page in PAGES if blocks(page)]


def of_page(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_CODE, ids=of_page)
def test_what_a_page_shows_works(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    if page.name == "README.md" and page.parent == ROOT:
        draw_blue_marble()
    names = {"__name__": "__main__"}
    for block in blocks(page):
        try:
            carry_out(block, names)
        except Exception as error:
            pytest.fail(f"{block.place}: {error}\n{capfd.readouterr().err[-2000:]}")
    for target in links(page):
        if "images/" in target and Path(Path(target).name).exists():
            check_picture(page.parent / target)


def check_picture(kept):
    """See to it that a page's picture is the one that the page's code draws; `make pictures`."""
    drawn = Path(kept.name)
    if os.environ.get("DASK_GMM_PICTURES") == "draw":
        shutil.copyfile(drawn, kept)
    now, then = (np.asarray(Image.open(path).convert("RGB"), float) for path in (drawn, kept))
    assert now.shape == then.shape, kept
    # Letters differ between versions of fonts, and single pixels between types of processors.
    assert np.abs(now - then).mean() < 3, f"{kept}: make pictures"


def draw_blue_marble():
    """Put a small picture of six colours where `dask-gmm demo` puts the Blue Marble."""
    generator = np.random.default_rng(11)
    colors = [[6, 18, 45], [19, 51, 100], [50, 55, 26], [132, 125, 110], [200, 60, 60], [249] * 3]
    of = generator.choice(6, (120, 160), p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    picture = np.clip(np.rint(generator.normal(np.array(colors)[of], 4.0)), 0, 255)
    array = zarr.create_array(
        "data/blue-marble.zarr", shape=picture.shape, chunks=(64, 64, 3), dtype="uint8"
    )
    array[:] = picture.astype("uint8")


def carry_out(block, names):
    """Run one block, or see to it that it could be run."""
    if block.file is not None:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.shown is not None:
        assert len(block.shown) > 10, "say why it is only shown"
        SYNTAX[block.language](block)
    else:
        RUN[block.language](block, names)


def run_python(block, names):
    if ">>>" not in block.text:
        exec(compile(block.text, block.place, "exec"), names)
        return
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(block.text, names, block.place, None, 0)
    test.globs = names  # a page's names go on from block to block
    said = []
    doctest.DocTestRunner(optionflags=flags).run(test, out=said.append, clear_globs=False)
    assert not said, "".join(said)


def run_yaml(block, names):
    """See to it that a whole configuration, or a part of one, is taken."""
    given = set(re.findall(r"^(\w+):", block.text, re.MULTILINE))
    frame = [line for line in FRAME if line.split(":")[0] not in given]
    Path("fragment.yaml").write_text("\n".join([*frame, block.text]), encoding="utf-8")
    load_config("fragment.yaml")


def run_shell(block, names):
    lines = block.text.replace("\\\n", " ").splitlines()
    if any(not is_ours(line) for line in lines):
        run_script(block.text)
        return
    for line in lines:
        run_line(line)


def is_ours(line):
    words = shlex.split(line, comments=True)
    return not words or words[0] == "dask-gmm" or is_looked_up(words)


def is_looked_up(words):
    return words[0] == "make" or (
        words[0] in {"python3", ".venv/bin/python", "python"}
        and words[1] == "-m"
        and words[2].split(".")[0] in {"pip", "pipelines", "benchmarks", "webbrowser"}
    )


def run_line(line):
    words = shlex.split(line, comments=True)
    code = re.search(r"# ends with (\d+)", line)
    if not words:
        return
    if words[0] != "dask-gmm":
        look_up(words)
        return
    verb, *arguments = (name for word in words[1:] for name in matches(word))
    if verb == "demo":  # brings 14.6 million pixels: tests/run/test_demo.py
        return
    if verb in WORKING and "cluster" not in line:
        arguments += ["--set", "cluster={kind: threads, n_workers: 2}"]
    done = dask_gmm([verb, *arguments])
    assert done == (int(code[1]) if code else 0), f"`{line}` ended with {done}"


def matches(word):
    """Return what the shell makes of a word: of a pattern what it matches, if anything."""
    found = sorted(str(path) for path in Path().glob(word)) if "*" in word else []
    return found or [word]


def look_up(words):
    """See to it that a target of make, an extra or a script is there."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
        named = [word for word in words[1:] if "=" not in word]
        assert set(named) <= set(targets), named
    elif words[2] == "pip":
        named = re.findall(r"\[([\w,]+)\]", " ".join(words))
        assert all(set(each.split(",")) <= set(EXTRAS) for each in named), named
    elif words[2] != "webbrowser":
        assert (ROOT / (words[2].replace(".", "/") + ".py")).exists(), words[2]
        configs = [word for word in words if word.startswith("configs/")]
        assert all((ROOT / word).exists() for word in configs), configs


def run_script(text):
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env={**os.environ, "PATH": beside},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"


def shell_syntax(block):
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def yaml_syntax(block):
    list(YAML(typ="safe", pure=True).load_all(block.text))


def python_syntax(block):
    compile(block.text, block.place, "exec")


def no_syntax(block):
    """There is no reader of it here."""


RUN = {"python": run_python, "yaml": run_yaml, "sh": run_shell}
SYNTAX = {
    "python": python_syntax,
    "yaml": yaml_syntax,
    "sh": shell_syntax,
    "dockerfile": no_syntax,
}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_links_and_pictures_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = page.parent / path
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


def anchors(page):
    """Return what a link may name in a page: its headings, as GitHub and Sphinx write them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}
