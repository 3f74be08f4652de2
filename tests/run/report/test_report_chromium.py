"""The report as headless Chromium shows it: nothing fails, nothing overflows, the slider works."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.run.report.drawn import drawn

CHROMIUM = Path("/usr/bin/chromium")
DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

# The page under test stays as it is, its content policy included: it stands in a frame as wide as
# a phone or a desktop, and the page around it looks inside.
PROBE = """<!doctype html><meta charset="utf-8"><body>
<iframe style="border:0;height:900px;width:{width}px" srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  const style = (selector) => view.getComputedStyle(page.querySelector(selector));
  const found = {{
    images: [...page.images].map((image) => image.complete && image.naturalWidth > 0),
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    background: style("body").backgroundColor,
    heading: page.querySelector("h1").textContent,
    smallest: Math.min(...[...page.querySelectorAll("p, li, td, th, dt, dd, figcaption")]
      .map((element) => parseFloat(view.getComputedStyle(element).fontSize))),
  }};
  const slider = page.querySelector('.views button[value="slider"]');
  if (slider) {{
    const edges = () => [...page.querySelectorAll(".stage img")]
      .map((image) => Math.round(image.getBoundingClientRect().left));
    found.apart = edges();
    slider.click();
    found.together = edges();
    const range = page.querySelector(".position input");
    range.value = "250";
    range.dispatchEvent(new view.Event("input"));
    found.clip = style(".before").clipPath;
    const box = page.querySelector(".stage").getBoundingClientRect();
    const press = {{clientX: box.left + 0.75 * box.width, pointerId: 1, bubbles: true}};
    page.querySelector(".stage").setPointerCapture = () => {{}};
    page.querySelector(".stage").dispatchEvent(new view.PointerEvent("pointerdown", press));
    found.dragged = Number(range.value);
  }}
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>"""


def _chromium(page, tmp_path, *options):
    """Return the page's final DOM and the browser's console messages."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=4000", "--window-size=1300,1000", *options,
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def _look(text, tmp_path, width, *options):
    """Show the page in a frame of `width` pixels and return what the probe found."""
    around = tmp_path / "around.html"
    around.write_text(PROBE.format(width=width, page=html.escape(text)), encoding="utf-8")
    dom, console = _chromium(around, tmp_path, *options)
    assert not console
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', dom, flags=re.DOTALL)
    return json.loads(html.unescape(found))


@pytest.fixture
def page(report_record, report_history, make_quicklook):
    report_record["warnings"] = ["Class 2 is at its floor."]
    report_record["inputs"][0]["path"] = "/data/" + 30 * "a-long-folder/" + "coast.zarr"
    return drawn(report_record, report_history, make_quicklook())


def test_the_file_itself_opens_without_a_message(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    dom, console = _chromium(path, tmp_path)
    assert not console
    assert 'class="scripted"' in dom  # the page's policy lets its own script run


def test_a_console_message_would_be_seen(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page.replace("</main>", "<script>1</script></main>"), encoding="utf-8")
    _, console = _chromium(path, tmp_path)
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize(("width", "stacked"), [(390, True), (1200, False)])
def test_pictures_load_and_the_slider_works(page, tmp_path, width, stacked):
    found = _look(page, tmp_path, width)
    assert found["heading"] == "coast"
    assert found["images"] == [True, True, True]
    assert found["overflow"] == 0
    assert found["smallest"] >= 13
    left, right = found["apart"]
    assert (left == right) is stacked
    assert len(set(found["together"])) == 1
    assert re.search(r"75%|calc\(100% - 25%\)", found["clip"])
    assert abs(found["dragged"] - 750) <= 5


def test_dark_and_light_follow_the_reader(page, tmp_path):
    light = _look(page, tmp_path, 1200)["background"]
    dark = _look(page, tmp_path, 1200, DARK)["background"]
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (light, dark)]
    assert brightness[0] > 600
    assert brightness[1] < 120


def test_a_wide_table_scrolls_inside_the_page(report_record, report_history, tmp_path):
    report_record["model"]["n_features"] = 40
    report_record["feature_names"] = [f"a_rather_long_feature_name_{i}" for i in range(40)]
    for entry in report_record["classes"]:
        entry["mean"], entry["std"] = [1234.5678] * 40, [0.001] * 40
    found = _look(drawn(report_record, report_history, None), tmp_path, 390)
    assert found["overflow"] == 0
    assert found["images"] == []
