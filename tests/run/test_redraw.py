"""The page of a finished run is drawn again from its directory alone."""

from __future__ import annotations

import json

import pytest

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.report import draw, redraw
from dask_gmm.run.verify import verify_run

from .conftest import blobs


@pytest.fixture
def finished(picture, dask_gmm):
    code, _, err = dask_gmm("run", picture.config())
    assert code == 0, err
    return picture


def test_a_finished_run_draws_the_same_page_again(finished):
    page = (finished.run_dir / "report.html").read_text()
    assert page.count("data:image/png") >= 2
    assert draw(finished.run_dir) == page


def test_a_page_that_was_lost_is_put_back_and_the_run_verifies(finished):
    path = finished.run_dir / "report.html"
    before = path.read_bytes()
    path.write_text("something else")
    assert redraw(finished.run_dir.relative_to(finished.path)) == path
    assert path.read_bytes() == before
    assert "report.html: unchanged" in list(verify_run(finished.run_dir))
    # By another version the page may differ, and the manifest has its checksum.
    manifest = finished.manifest()
    manifest["version"] = "another"
    (finished.run_dir / "manifest.json").write_text(json.dumps(manifest))
    redraw(finished.run_dir)
    assert path.read_bytes() != before
    assert "report.html: unchanged" in list(verify_run(finished.run_dir))


def test_what_is_lost_or_forged_is_left_out_of_the_page(finished):
    (finished.run_dir / "history.jsonl").write_text("{torn")
    manifest = finished.manifest()
    (finished.path / "secret.png").write_bytes(b"secret")
    manifest["pictures"][0]["views"]["uncertainty"]["file"] = "../../../secret.png"
    (finished.run_dir / "manifest.json").write_text(json.dumps(manifest))
    page = draw(finished.run_dir)
    assert "Where the classes are in doubt" not in page
    assert "c2VjcmV0" not in page  # "secret" in base 64
    assert "The picture and its classes" in page


def test_a_directory_without_a_finished_run_is_refused_and_left_alone(tmp_path):
    with pytest.raises(ConfigurationError, match="no finished run is here"):
        redraw(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_table_is_drawn_again_without_pictures(project, dask_gmm):
    project.array(blobs((500,)), (200, 3))
    code, _, err = dask_gmm("run", project.config())
    assert code == 0, err
    assert draw(project.run_dir) == (project.run_dir / "report.html").read_text()
