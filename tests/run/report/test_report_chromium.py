"""The report as headless Chromium shows it: nothing fails, nothing overflows, the slider works."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.run.report.conftest import gaussian
from tests.run.report.drawn import drawn

CHROMIUM = Path("/usr/bin/chromium")
DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

# The page under test stays as it is, its content policy included: it stands in a frame as wide as
# a phone or a desktop, and the page around it looks inside.
PROBE = r"""<!doctype html><meta charset="utf-8"><body>
<script>
// Texts whose contrast with what lies under them is below 4.5 to 1, as the browser has drawn them.
const channels = (color) => color.match(/[\d.]+/g).map(Number);
const luminance = (color) => channels(color).slice(0, 3)
  .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const opaque = (color) => channels(color).length < 4 || channels(color)[3] === 1;
const ground = (view, element) => {{
  for (let each = element; each; each = each.parentElement) {{
    const color = view.getComputedStyle(each).backgroundColor;
    if (opaque(color)) return color;
  }}
  return "rgb(255, 255, 255)";
}};
const faint = (view, page) => {{
  const found = [];
  for (const element of page.body.querySelectorAll("*")) {{
    const words = [...element.childNodes].filter((node) => node.nodeType === 3)
      .map((node) => node.data.trim()).join("");
    if (!words || element.tagName === "SCRIPT" || element.tagName === "OPTION") continue;
    const style = view.getComputedStyle(element);
    const drawn = element instanceof view.SVGElement;
    const ink = drawn ? style.fill : style.color;
    // A number on a disc of its class's colour lies on no ground of the page.
    if (drawn && ["rgb(0, 0, 0)", "rgb(255, 255, 255)"].includes(ink)) continue;
    const [a, b] = [luminance(ink), luminance(ground(view, element))].sort((x, y) => x - y);
    if ((b + 0.05) / (a + 0.05) < 4.5) found.push([words.slice(0, 40), ink, ground(view, element)]);
  }}
  return found;
}};
</script>
<iframe style="border:0;height:900px;width:{width}px" srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  const style = (selector) => view.getComputedStyle(page.querySelector(selector));
  const found = {{
    images: [...page.images].map((image) => image.complete && image.naturalWidth > 0)
      .concat([...page.querySelectorAll("svg image")].map((image) => image.getBBox().width > 0)),
    requests: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    faint: faint(view, page),
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
  const choice = page.querySelector(".choice select");
  if (choice) {{
    const visible = () => [...page.querySelectorAll("[data-input]")]
      .filter((each) => each.getBoundingClientRect().height > 0).map((each) => each.dataset.input);
    found.first = visible();
    choice.value = "1";
    choice.dispatchEvent(new view.Event("change"));
    found.second = visible();
  }}
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>"""


def _chromium(page, tmp_path, *options):
    """Return the page's final DOM and the browser's console messages."""
    done = _run(page, tmp_path, *options, "--dump-dom")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def _run(page, tmp_path, *options):
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=4000", "--window-size=1300,1000", *options,
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def _look(text, tmp_path, width, *options):
    """Show the page in a frame of `width` pixels and return what the probe found."""
    around = tmp_path / "around.html"
    around.write_text(PROBE.format(width=width, page=html.escape(text)), encoding="utf-8")
    dom, console = _chromium(around, tmp_path, *options)
    assert not console
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', dom, flags=re.DOTALL)
    return json.loads(html.unescape(found))


@pytest.fixture
def page(report_record, report_history, make_quicklook, fitted):
    record = gaussian(fitted, report_record)
    record["warnings"] = ["Class 2 is at its floor."]
    record["inputs"][0]["path"] = "/data/" + 30 * "a-long-folder/" + "coast.zarr"
    record["classes"][1]["at_floor"] = True
    return drawn(record, report_history, make_quicklook(), fitted=fitted)


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


@pytest.mark.parametrize(("width", "stacked"), [(360, True), (1200, False)])
def test_pictures_load_and_the_slider_works(page, tmp_path, width, stacked):
    found = _look(page, tmp_path, width)
    assert found["heading"] == "coast"
    assert found["images"] == [True] * 9  # three pictures, three maps, three views
    assert found["requests"] == []
    assert found["overflow"] == 0
    assert found["smallest"] >= 13
    left, right = found["apart"]
    assert (left == right) is stacked
    assert len(set(found["together"])) == 1
    assert re.search(r"75%|calc\(100% - 25%\)", found["clip"])
    assert abs(found["dragged"] - 750) <= 5


def test_dark_and_light_follow_the_reader_and_every_text_can_be_read(page, tmp_path):
    light, dark = _look(page, tmp_path, 1200), _look(page, tmp_path, 1200, DARK)
    grounds = [found["background"] for found in (light, dark)]
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in grounds]
    assert brightness[0] > 600
    assert brightness[1] < 120
    assert light["faint"] == dark["faint"] == []


def test_text_that_is_too_faint_would_be_seen(page, tmp_path):
    found = _look(page.replace("--soft: #545c66", "--soft: #a0a0a0"), tmp_path, 1200)
    assert len(found["faint"]) > 10


def test_one_of_several_inputs_is_shown_at_a_time(
    report_record, report_history, make_quicklook, tmp_path
):
    inputs = report_record["inputs"]
    inputs.append({**inputs[0], "name": "b"})
    text = drawn(report_record, report_history, make_quicklook(), make_quicklook())
    found = _look(text, tmp_path, 360)
    assert found["first"] == ["0"] * 3  # picture, uncertainty, probabilities
    assert found["second"] == ["1"] * 3
    assert found["overflow"] == 0


def test_it_prints(page, tmp_path):
    path, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    path.write_text(page, encoding="utf-8")
    _run(path, tmp_path, f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12


def test_a_wide_table_scrolls_inside_the_page(report_record, report_history, tmp_path):
    report_record["model"]["n_features"] = 40
    report_record["feature_names"] = [f"a_rather_long_feature_name_{i}" for i in range(40)]
    for entry in report_record["classes"]:
        entry["mean"], entry["std"] = [1234.5678] * 40, [0.001] * 40
    found = _look(drawn(report_record, report_history, None), tmp_path, 390)
    assert found["overflow"] == 0
    assert found["images"] == []
