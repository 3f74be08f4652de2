"""The built pages as headless Chromium shows them: on a phone, on a desk, in the dark."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
WIDTHS = (390, 1300)

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

# One browser looks at all pages, one after the other, in a frame as wide as a phone or a desk.
PROBE = """<!doctype html><meta charset="utf-8"><body><pre id="found"></pre><script>
const pages = %s, widths = %s, found = {};
const look = (name, width) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style = `border:0;height:900px;width:${width}px`;
  frame.onload = () => setTimeout(() => {
    const page = frame.contentDocument, root = page.documentElement;
    found[`${name} ${width}`] = {
      wider: root.scrollWidth - root.clientWidth,
      images: [...page.images].every((image) => image.complete && image.naturalWidth > 0),
      heading: page.querySelector("h1")?.textContent ?? "",
      formulas: [...page.querySelectorAll("math")].every((each) => each.clientWidth),
    };
    frame.remove();
    done();
  }, 30);
  frame.src = name;
  document.body.append(frame);
});
(async () => {
  for (const width of widths) for (const name of pages) await look(name, width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def test_every_page_fits_the_screen(site, tmp_path):
    pages = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
    pages = [name for name in pages if not name.startswith("_static")]
    probe = site / "probe.html"
    probe.write_text(PROBE % (json.dumps(pages), json.dumps(WIDTHS)), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--allow-file-access-from-files", "--virtual-time-budget=60000",
            "--window-size=1400,1000", "--dump-dom", probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    probe.unlink()
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[1])
    assert len(found) == len(pages) * len(WIDTHS)
    for name, seen in found.items():
        assert seen["wider"] <= 0, f"{name} is {seen['wider']} pixels wider than the screen"
        assert seen["images"], f"{name}: a picture is missing"
        assert seen["formulas"], f"{name}: a formula is not drawn"
        assert seen["heading"] or "genindex" in name, name
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert console, "the pages' scripts say which theme they use"
    assert not [line for line in console if ":INFO:CONSOLE" not in line]
