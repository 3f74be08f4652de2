"""How Sphinx builds these pages: ``make docs``. Nothing is fetched, neither here nor by a reader.

Formulas become MathML, which browsers draw themselves; pages of the repository's root
(``README.md`` and others) are included, so that every sentence has one source.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

from dask_gmm import __version__  # noqa: E402  the clone's own, installed or not

project = "dask-gmm"
author = "The dask-gmm developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_click",
    "mathml",
    "configuration_reference",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "**/*.py"]
# A link that leads nowhere is an error. Other projects' pages are not looked up: no network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|numpy|matplotlib|dask\.array|pathlib)\..*")]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "smartquotes"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # types stand in the docstrings, with shapes
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = f"dask-gmm {version}"
# A browser without a font for mathematics sets indices wrongly: one comes along.
FONT = find_spec("ziamath").submodule_search_locations[0] + "/fonts/STIXTwoMath-Regular.ttf"
html_static_path = ["static", FONT]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "dask-gmm"},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
