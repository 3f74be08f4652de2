"""The pages build without a warning, hold what they should, and ask the network for nothing."""

from __future__ import annotations

import inspect
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
from click import Context
from numpydoc.docscrape import ClassDoc, FunctionDoc

from dask_gmm.run.cli import cli
from dask_gmm.run.config import config_schema
from dask_gmm.run.config.allowed import Allowed
from tests.docs.pages import DOCS, ROOT

#: Modules on whose names people may rely: those of the page of the API.
PUBLIC = re.findall(r"automodule:: (\S+)", (DOCS / "reference/api.md").read_text())
PUBLIC = ["dask_gmm", *PUBLIC]


class Asked(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag in {"img", "script", "iframe", "source"}:
            self.found.append(named.get("src"))
        if tag == "link" and named.get("rel") in {"stylesheet", "preload", "icon"}:
            self.found.append(named.get("href"))


def test_a_reader_needs_no_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        asked = Asked()
        asked.feed(page.read_text(encoding="utf-8"))
        here = [each for each in asked.found if each]
        assert here
        assert not [each for each in here if each.startswith(("http", "//"))], page


def test_formulas_are_mathml_and_none_is_left_in_latex(site):
    text = (site / "explanation/mathematics.html").read_text(encoding="utf-8")
    assert text.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') >= 10
    left = re.sub(r"<annotation.*?</annotation>|<code.*?</code>", "", text, flags=re.DOTALL)
    assert not re.findall(r"\\(?:sum|frac|mathcal|log|Sigma)", left)


def test_every_key_of_the_configuration_is_told(site):
    text = (site / "reference/configuration.html").read_text(encoding="utf-8")
    schema = config_schema()
    kinds = Allowed(schema).kinds(("cluster",))
    values = [{"cluster": {"kind": kind}} for kind in kinds]
    keys = {path for value in values for path in Allowed(schema, value).all_keys(())}
    assert len(keys) > 100
    for path in keys:
        assert f">{path[-1]}</span></code>" in text, path
    assert all(f"cluster, kind: {kind}" in text for kind in kinds)
    # What has a sentence in the schema shows it.
    assert "Added to variances in the model frame" in text


def test_every_verb_and_option_is_told(site):
    text = (site / "reference/command.html").read_text(encoding="utf-8")
    context = Context(cli)
    for verb in cli.list_commands(context):
        command = cli.get_command(context, verb)
        assert f'id="dask-gmm-{verb}"' in text
        for option in command.params:
            names = [name for name in option.opts if name.startswith("-")]
            assert all(f"{name.lstrip('-')}" in text for name in names), (verb, names)


def public_names():
    for module in PUBLIC:
        found = import_module(module)
        names = getattr(found, "__all__", None) or [
            name
            for name, value in vars(found).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module
        ]
        yield from ((module, name) for name in names if not name.startswith("__"))


NAMES = list(public_names())


def test_the_public_names_are_found():
    assert {"GaussianMixture", "select_components", "plot_classes", "load_config"} <= {
        name for _, name in NAMES
    }
    assert len(NAMES) > 20


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda each: str(each))
def test_a_public_name_is_documented(module, name, site):
    value = getattr(import_module(module), name)
    text = (site / "reference/api.html").read_text(encoding="utf-8")
    assert re.search(rf'id="dask_gmm[\w.]*\.{name}"', text), f"{module}.{name} is on no page"
    if inspect.isclass(value):
        documented_class(value)
    elif callable(value):
        documented(value, FunctionDoc(value))


def documented_class(value):
    assert inspect.getdoc(value)
    of_class = ClassDoc(value)
    told = {entry.name for section in ("Parameters", "Attributes") for entry in of_class[section]}
    names = {name for entry in told for name in re.split(r",\s*", entry)}
    fields = set(getattr(value, "__dataclass_fields__", ()))
    assert fields <= names, f"{value.__name__}: {fields - names} without a sentence"
    for name, method in vars(value).items():
        ours = getattr(method, "__module__", None) == value.__module__
        if inspect.isfunction(method) and ours and not name.startswith("_"):
            documented(method, FunctionDoc(method))


def documented(function, page):
    """See to it that every parameter and the result are told."""
    assert page["Summary"], function.__qualname__
    parameters = [
        name for name in inspect.signature(function).parameters if name not in {"self", "cls"}
    ]
    told = {
        name.lstrip("*") for entry in page["Parameters"] for name in re.split(r",\s*", entry.name)
    }
    missing = [name for name in parameters if name not in told]
    assert not missing, f"{function.__qualname__}: {missing}"
    returns = inspect.signature(function).return_annotation
    if returns not in (None, "None", inspect.Signature.empty):
        assert page["Returns"] or page["Yields"], f"{function.__qualname__}: what does it return?"


def test_pages_that_nobody_can_reach_are_none(site):
    reached, waiting = set(), [site / "index.html"]
    while waiting:
        page = waiting.pop()
        reached.add(page.relative_to(site).with_suffix("").as_posix())
        for target in re.findall(r'href="([^"#:]+\.html)', page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve()
            if there.relative_to(site).with_suffix("").as_posix() not in reached:
                waiting.append(there)
    sources = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    assert sources <= reached, sources - reached


def test_the_source_of_every_page_is_in_the_repository(site):
    pages = {page.relative_to(site).with_suffix("").as_posix() for page in site.rglob("*.html")}
    made = {"genindex", "search", "py-modindex"}
    for each in {page for page in pages - made if not page.startswith("_static")}:
        assert Path(ROOT, "docs", f"{each}.md").exists(), each
