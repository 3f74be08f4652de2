"""The report of a damaged record, and of one whose names attack the reader."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re

import numpy as np
import pytest

from tests.run.report.drawn import drawn


def _without(record, path):
    copied = copy.deepcopy(record)
    parent = copied
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return copied


def _with_none(record, path):
    copied = copy.deepcopy(record)
    parent = copied
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = None
    return copied


def _paths(value, path=()):
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        if not isinstance(value, list) or isinstance(value[key], dict):
            if isinstance(value, dict):
                yield (*path, key)
            yield from _paths(value[key], (*path, key))


@pytest.mark.parametrize("damage", [_without, _with_none])
def test_no_single_missing_field_breaks_the_page(report_record, damage, parse_page):
    for path in _paths(report_record):
        parse_page(drawn(damage(report_record, path), [], None))


def test_an_empty_record_still_gives_a_page(report_record, make_quicklook, parse_page):
    for record in ({}, dict.fromkeys(report_record)):
        for quicklook in (None, make_quicklook(), make_quicklook(1, uncertainty=False)):
            parse_page(drawn(record, [], quicklook))


def test_nothing_from_outside_becomes_markup_or_a_live_link(
    report_record, report_history, make_quicklook, parse_page
):
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    record = json.loads(json.dumps(report_record).replace('"red"', json.dumps(attack)))
    record["name"] = record["run_id"] = record["configuration"]["name"] = attack
    record["inputs"][0]["path"] = record["inputs"][0]["variable"] = attack
    record["inputs"].append(record["inputs"][0])
    record["warnings"] = [attack]
    record["fit"]["stopped_by"] = record["fit"]["starts"][0]["status"] = attack
    record["environment"]["packages"] = {attack: attack}
    record["timings"][0]["step"] = attack
    record["model"]["covariance_type"] = attack
    record["outputs"] = {
        attack: {"path": "javascript:alert(1)"},
        "b": {"path": "../../secret"},
        "c": {"path": "/etc/passwd"},
        "d": {"path": "//evil.example/x"},
        "e": {"path": 'a"b c.zarr'},
    }
    text = drawn(record, report_history, make_quicklook())
    page = parse_page(text)
    assert len(page.all("script")) == 1
    assert len(page.all("img")) == 6
    assert not [a for _, a in page.elements if "onerror" in a]
    links = {a["href"] for a in page.all("a")}
    assert {"./javascript%3Aalert%281%29", "./a%22b%20c.zarr"} <= links
    assert all(link.startswith("./") and ".." not in link for link in links)
    assert page.words.count("<script>alert(1)</script>") >= 9


def test_the_content_policy_names_the_one_script(
    report_record, report_history, make_quicklook, parse_page
):
    text = drawn(report_record, report_history, make_quicklook())
    (policy,) = [a["content"] for a in parse_page(text).all("meta") if "http-equiv" in a]
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:")


def _luminance(color):
    digits = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    share = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_text_color_has_the_contrast_of_wcag_aa(report_record, theme):
    blocks = re.findall(r":root \{(.*?)\}", drawn(report_record, [], None), flags=re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#\w{3,6});", blocks[theme]))
    pairs = [(ink, paper) for ink in ("ink", "soft", "accent") for paper in ("card", "paper")]
    pairs += [("alarm", "alarm-paper"), ("ink", "alarm-paper"), ("good", "good-paper")]
    for ink, paper in pairs:
        dark, light = sorted((_luminance(colors[ink]), _luminance(colors[paper])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
