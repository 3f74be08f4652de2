"""Put the results into words that people read: ``benchmarks/README.md`` and the README's figures.

``python -m benchmarks.collect`` replaces what stands between the ``collected`` marks; whatever is
outside of them is written by hand and holds no figure.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks.bars.every import BARS
from benchmarks.bars.table import page
from benchmarks.machine import sentence
from benchmarks.output import HERE, RESULTS

_MARKS = re.compile(r"(?<=<!-- collected: begin -->\n).*?(?=<!-- collected: end -->)", re.DOTALL)


def collected(text: str, content: str) -> str:
    """Return a page with ``content`` between its marks.

    Raises
    ------
    ValueError
        If the page has no marks.
    """
    if len(_MARKS.findall(text)) != 1:
        raise ValueError("the page needs one pair of the marks <!-- collected: begin --> and end")
    return _MARKS.sub(lambda _: content, text)


def all_results(results: Path = RESULTS) -> str:
    """Return all bars, then every table in the order of the files' names, linked as from above."""
    texts = [page(BARS, results)]
    texts += [each.read_text(encoding="utf-8") for each in sorted(results.glob("*.md"))]
    return "\n".join(re.sub(r"\]\((\w+\.png)\)", rf"]({results.name}/\1)", text) for text in texts)


def headline(results: Path = RESULTS) -> str:
    """Return the README's small table: full covariances against scikit-learn and Spark ML."""
    result = json.loads((results / "em_step.json").read_text(encoding="utf-8"))
    spark = json.loads((results / "spark.json").read_text(encoding="utf-8"))
    of_spark = {(each["D"], each["K"]): f"{each['ratio']:.0f}" for each in spark["cases"]}
    rows = [
        f"| {each['D']}, {each['K']} | {each['ns_per_row']['peer'][0]:,.0f} "
        f"| {each['ns_per_row']['ours'][0]:,.0f} | {each['ratio'][0]:.1f} "
        f"| {each['of_limit'][0]:.0%} | {each['predict_ratio'][0]:.1f} "
        f"| {of_spark.get((each['D'], each['K']), '')} |\n"
        for each in result["cases"]
        if each["family"] == "full"
    ]
    head = (
        "| D, K | scikit-learn, ns a row | dask-gmm, ns a row | ratio | of the machine's limit "
        "| labels: ratio | from files, against Spark ML: ratio |\n"
        "|---|---:|---:|---:|---:|---:|---:|\n"
    )
    return f"{head}{''.join(rows)}\n{sentence(result['machine'])}\n"


def pages() -> dict[Path, str]:
    """Return the pages that hold collected figures, as they should read."""
    content = {HERE / "README.md": all_results(), HERE.parent / "README.md": headline()}
    return {
        path: collected(path.read_text(encoding="utf-8"), text) for path, text in content.items()
    }


def main() -> int:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
