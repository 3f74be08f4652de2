"""The benchmarks run, measure equal results, keep their bars, and their pages are up to date."""

from __future__ import annotations

import json

import pytest

from benchmarks import bench_compression, bench_em_step, bench_passes, bench_starts, collect
from benchmarks.output import RESULTS


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """What a toy run writes."""
    directory = tmp_path_factory.mktemp("results")
    arguments = ["--quick", "--pairs", "2", "--output", str(directory)]
    assert bench_em_step.main(arguments) == 0
    return directory


def test_the_em_step_is_measured_for_every_family_against_peer_and_limit(toy):
    result = json.loads((toy / "em_step.json").read_text())
    assert {each["family"] for each in result["cases"]} == {"full", "tied", "diag", "spherical"}
    assert {"date", "cpu", "cores", "python", "packages"} <= result["machine"].keys()
    for each in result["cases"]:
        assert each["difference"] < 1e-8  # both made the same step
        for name in ("ours", "peer", "limit"):
            middle, low, high = each["ns_per_row"][name]
            assert 0 < low <= middle <= high
        # Toy sizes on a busy machine prove nothing about speed; these fail only on nonsense.
        assert 0 < each["of_limit"][0] < 1.5
        assert each["ratio"][0] > 0.1


def test_the_toy_table_says_that_it_is_one_and_the_picture_is_there(toy):
    page = (toy / "em_step.md").read_text()
    assert "toy run" in page
    assert "| 6, 16 | spherical |" in page
    assert (toy / "em_step.png").read_bytes().startswith(b"\x89PNG")


def test_ways_to_start_are_compared(tmp_path):
    assert bench_starts.main(["--quick", "--seeds", "1", "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "starts.json").read_text())
    ways = result["data"][0]["ways"]
    assert set(ways) == {way.name for way in bench_starts.WAYS}
    assert bench_starts.DEFAULT in bench_starts.WAYS
    sound = [each for each in ways.values() if each["below_best"] is not None]
    assert min(each["below_best"] for each in sound) == 0.0
    assert all((each["below_best"] is None) == (each["at_floor"] == 1.0) for each in ways.values())
    # What is drawn more often costs more EM steps; what is improved, more than what is not.
    steps = [ways[name]["steps"] for name in ("1 x kmeans", "4 x kmeans", "10 x kmeans")]
    assert 0 < steps[0] < steps[1] < steps[2]
    improved = ways["4 x kmeans, splits and merges of 2"]
    assert improved["steps"] > steps[1]
    assert "toy run" in (tmp_path / "starts.md").read_text()


def test_readings_are_counted_and_bars_are_kept_or_named(tmp_path):
    assert bench_passes.main(["--quick", "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "passes.json").read_text())
    (each,) = result["overlapping"]
    assert 2 <= each["readings"] < each["plain"]
    assert result["slow"]["readings"] < result["slow"]["plain"]
    assert "toy run" in (tmp_path / "passes.md").read_text()
    each["readings"] = 7
    assert any("7 readings, 6 allowed" in words for words in bench_passes.missed(result))


def test_a_compressed_fit_and_looked_up_labels_are_measured(tmp_path, capsys):
    quick = ["--quick", "--repeats", "1"]
    assert bench_compression.main([*quick, "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "compression.json").read_text())
    assert 8 * result["fit"]["distinct_rows"] <= result["fit"]["rows"] == 120_000
    assert result["labels"]["different"] == 0
    assert min(result[name]["ratio"] for name in ("fit", "labels")) > 0
    assert "toy run" in (tmp_path / "compression.md").read_text()
    assert (tmp_path / "compression.png").read_bytes().startswith(b"\x89PNG")
    assert bench_compression.main([*quick, "--require", "1e9@labels"]) == 1
    assert "below its bar: labels" in capsys.readouterr().err
    assert bench_compression.main([*quick, "--require", "1@speed"]) == 2
    assert "allowed is RATIO@fit" in capsys.readouterr().err


def test_a_missed_bar_or_a_case_not_measured_ends_with_an_error(capsys):
    arguments = ["--quick", "--pairs", "1", "--only", "2,2,diag"]
    assert bench_em_step.main([*arguments, "--require", "0@2,2,diag"]) == 0
    assert bench_em_step.main([*arguments, "--require", "1e9@2,2,diag"]) == 1
    assert "of 1e+09" in capsys.readouterr().err
    assert bench_em_step.main([*arguments, "--require", "1@3,8,full"]) == 1
    assert "not measured: 3,8,full" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "6,16"],
        ["--only", "6,16,round"],
        ["--only", "0,1,full"],
        ["--require", "x@1,1,full"],
    ],
)
def test_a_case_that_is_none_is_refused(arguments, capsys):
    assert bench_em_step.main(arguments) == 2
    assert "allowed is" in capsys.readouterr().err


def test_a_part_of_the_grid_does_not_replace_the_whole_grids_results(capsys):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in RESULTS.iterdir())
    assert bench_em_step.main(["--quick", "--pairs", "1", "--only", "2,2,tied"]) == 0
    assert "| 2, 2 | tied |" in capsys.readouterr().out
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in RESULTS.iterdir())


def test_the_pages_hold_what_was_measured():
    for path, text in collect.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python -m benchmarks.collect"


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        collect.collected("# A page", "figures")
