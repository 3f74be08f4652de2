"""The benchmarks run, measure equal results, keep their bars, and their pages are up to date."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import pairwise

import click
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from benchmarks import (
    bench_ablation,
    bench_chunks,
    bench_cluster,
    bench_compression,
    bench_context,
    bench_cost,
    bench_dask_ml,
    bench_em_step,
    bench_kernels,
    bench_limit,
    bench_mclust,
    bench_out_of_core,
    bench_pass_cost,
    bench_passes,
    bench_prediction,
    bench_rare,
    bench_scaling,
    bench_selection,
    bench_sklearn,
    bench_spark,
    bench_spark_fit,
    bench_starts,
    bench_startup,
    collect,
)
from benchmarks.bars.every import BARS
from benchmarks.bars.table import Bar, held, page
from benchmarks.bars.values import of_rows
from benchmarks.known import Known, standard_errors
from benchmarks.limit import sampling
from benchmarks.limit.formats import FORMATS
from benchmarks.limit.profiles import PARTS
from benchmarks.output import RESULTS, required
from benchmarks.peers import sklearn_end, sklearn_scale
from benchmarks.peers.mclust_cells import Optimum, verdict
from benchmarks.truth import Agreement, best_possible
from dask_gmm.mixture.blocking import centred_is_cheaper
from dask_gmm.mixture.e_step import e_step
from dask_gmm.mixture.families import FAMILIES
from dask_gmm.mixture.frame import Frame
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.rows import Rows


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


def test_both_kernels_and_scikit_learn_are_measured(tmp_path):
    assert bench_kernels.main(["--quick", "--turns", "1", "--output", str(tmp_path)]) == 0
    cells = json.loads((tmp_path / "kernels.json").read_text())["cells"]
    assert {(each["D"], each["K"]) for each in cells} == {(1, 1), (1, 8), (8, 1), (8, 8)}
    assert all(min(each["ns_per_row"].values()) > 0 for each in cells)
    assert "| 8 | " in (tmp_path / "kernels.md").read_text()


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


@pytest.mark.long
def test_candidates_are_fitted_together_and_one_by_one(tmp_path, capsys):
    result = toy_result(bench_selection, "selection", tmp_path, "--require-passes", "1.5")
    assert result["together"]["chosen"] == ["full", 5]
    assert result["candidates"] == len(result["alone"]["fits"]) == 12
    alone, together = result["alone"], result["together"]
    assert together["passes"] < alone["passes"] / 3
    assert result["passes_of_slowest"] == pytest.approx(
        together["passes"] / max(each["passes"] for each in alone["fits"]), rel=1e-4
    )


@pytest.mark.long
def test_small_classes_are_looked_for_with_the_second_draw_and_without(tmp_path):
    result = toy_result(bench_rare, "rare", tmp_path, "--require", "0.8")
    assert len(result["fits"]) == 5
    found = {
        name: sum(fit[name]["found"] for fit in result["fits"]) for name in ("with", "without")
    }
    assert found["with"] > found["without"]


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


def toy_result(benchmark, name, directory, *arguments):
    """Return what a toy run writes; its page says that it is one."""
    assert benchmark.main(["--quick", "--output", str(directory), *arguments]) == 0
    assert "toy run" in (directory / f"{name}.md").read_text()
    assert (directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((directory / f"{name}.json").read_text())


@pytest.mark.slow
def test_each_part_of_a_fit_is_switched_off_in_turn(tmp_path, capsys):
    result = toy_result(bench_ablation, "ablation", tmp_path, "--seeds", "2")
    mixture, image = (each["ways"] for each in result["data"])
    assert list(image) == list(bench_ablation.INSTEAD)
    # Floats do not repeat; where pixels do, the survey is the only reading.
    assert list(mixture) == [way for way in image if way != "without compression"]
    assert image["ours"]["readings"] == 1 < image["without compression"]["readings"]
    assert mixture["ours"]["readings"] < mixture["without acceleration"]["readings"]
    assert mixture["ours"]["readings"] < mixture["plain EM"]["readings"] / 5
    assert mixture["ours"]["levels"]["0.001"]["fits"] == 2
    for ways in (mixture, image):
        for trace in (fit["trace"] for each in ways.values() for fit in each["fits"]):
            for earlier, later in pairwise(trace):
                assert earlier[0] <= later[0]
                assert earlier[1] <= later[1]
                assert earlier[2] >= later[2] >= 0
    arguments = ["--quick", "--seeds", "1", "--require-readings", "0"]
    assert bench_ablation.main(arguments) == 1
    assert "below its bar: readings" in capsys.readouterr().err


def test_a_pass_is_measured_beside_its_parts(tmp_path):
    result = toy_result(bench_pass_cost, "pass_cost", tmp_path, "--turns", "1")
    assert [each["store"] for each in result["cases"]] == list(bench_pass_cost.STORES)
    for each in result["cases"]:
        for times in (each["fast"], each["slow"]):
            assert min(times["whole"], times["read"], times["compute"]) > 0
        # Eight chunks on two workers, one at a time: none can be faster than its delay.
        assert each["slow"]["read"] >= 4 * each["delay_ms"] / 1e3
        assert each["slow"]["whole"] >= 2 * each["delay_ms"] / 1e3


def test_a_field_is_measured_end_to_end_and_by_the_sweep(tmp_path):
    result = toy_result(bench_context, "context", tmp_path, "--turns", "1")
    assert [each["share"] is None for each in result["runs"].values()] == [True, False, False]
    assert result["runs"]["field"]["share"] > 0.02
    for each in result["sweeps"]:
        assert min(each["ns"].values()) > 0
        wrong = each["wrong"]
        assert wrong["ours"] < wrong["mixture"] / 2
        assert wrong["ours"] == pytest.approx(wrong["scipy"], abs=1e-3)


def test_prediction_is_measured_beside_its_parts(tmp_path):
    result = toy_result(bench_prediction, "prediction", tmp_path, "--turns", "1")
    (each,) = result["cases"]
    assert min(each[name] for name in ("whole", *bench_prediction.PARTS)) > 0
    total = sum(each[name] for name in bench_prediction.PARTS)
    assert each["of_sum"] == pytest.approx(each["whole"] / total, rel=1e-3)
    assert result["relief"] is None  # a toy run brings no picture


@pytest.mark.slow
def test_what_a_shell_waits_for_is_measured(tmp_path, capsys):
    arguments = ["--quick", "--output", str(tmp_path), "--require-help", "1e-3"]
    assert bench_startup.main(arguments) == 1
    assert "below its bar: seconds of dask-gmm --help" in capsys.readouterr().err
    result = json.loads((tmp_path / "startup.json").read_text())
    times = {name: middle for name, (middle, _, _) in result["seconds"].items()}
    verbs = [f"dask-gmm {verb}" for verb in ("--help", "run --help", "validate", "plan")]
    assert list(times) == ["python -c pass", *verbs]
    assert all(times["python -c pass"] < times[verb] for verb in verbs)
    assert "toy run" in (tmp_path / "startup.md").read_text()


def test_chunks_are_counted_apart_from_what_zarr_takes(tmp_path):
    result = toy_result(bench_chunks, "chunks", tmp_path, "--turns", "1")
    assert [each["chunks"] for each in result["series"]] == list(bench_chunks.QUICK_COUNTS)
    assert all(each["engine"] > 0 and each["library"] > 0 for each in result["series"])


@pytest.mark.slow
def test_formats_are_read_by_the_most_direct_way_too_and_time_is_put_down_to_parts(tmp_path):
    result = toy_result(bench_limit, "limit", tmp_path, "--turns", "1")
    assert list(result["formats"]) == list(FORMATS)
    for each in result["formats"].values():
        for way in ("one", "two"):
            assert min(each[way]["direct"], each[way]["ours"]) > 0
            middle, low, high = each[way]["fraction"]
            assert 0 < low <= middle <= high
    assert {each["store"] for each in result["cases"]} == set(bench_limit.STORES)
    for each in result["cases"]:
        assert list(each["shares"]) == list(PARTS)
        assert sum(each["shares"].values()) == pytest.approx(1.0, abs=0.05)
    assert bench_limit.main(["--quick", "--turns", "1", "--require-fraction", "9"]) == 1


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "GeoTIFF, deflate"])
def test_a_direct_reader_and_our_source_read_the_same_rows(name, tmp_path):
    known, form = Known(3, 2, 9 * 1024, 2048), FORMATS[name]
    source = bench_limit.stored(tmp_path / "stored", known, form)
    assert source.grid.n_rows_total == known.rows
    assert form.direct(range(known.n_blocks), str(tmp_path / "stored"), known) == known.rows
    rows = np.concatenate([source.read(cell).values for cell in range(len(source.grid))])
    np.testing.assert_array_equal(rows, np.concatenate(list(known.blocks(known.rows))))


def test_what_a_thread_computes_is_put_down_to_what_its_stack_shows():
    rows = Rows(np.random.default_rng(0).standard_normal((200_000, 6)))
    known = Known(6, 16, 1000, 1000)
    parameters = Parameters.of("full", *known.parameters())
    frame = Frame.of_sample(rows.values[:1000], isotropic=False)
    e_step([rows], parameters.inside(frame), frame)
    sampling.begin()
    for _ in range(5):
        e_step([rows], parameters.inside(frame), frame)
    seen = sampling.end()
    of_kernel = sum(seen.get(each, 0.0) for each in (sampling.PRODUCTS, sampling.KERNEL))
    assert of_kernel > 0
    assert of_kernel + seen.get(sampling.COPYING, 0.0) > 0.5 * (sum(seen.values()) - seen["unseen"])


def test_one_worker_and_two_are_compared(tmp_path):
    more = ["--rows", "2e5", "--shared", str(tmp_path / "shared")]
    result = toy_result(bench_scaling, "scaling", tmp_path, "--turns", "1", *more)
    assert [each["rows"] for each in result["series"]] == [*bench_scaling.QUICK_ROWS, 200_000]
    assert (tmp_path / "shared" / "200000-4-8" / "written").exists()
    for each in result["series"]:
        assert each["one"] > 0
        assert each["two"] > 0
        assert 50 << 20 < each["peak_bytes"] < 4 << 30


@pytest.mark.slow
def test_whole_runs_are_counted_in_core_hours_and_bytes(tmp_path):
    result = toy_result(bench_cost, "cost", tmp_path, "--price", "0.5")
    for each in result["jobs"]:
        many = each["many"]
        assert many["rows"] == 4 * each["few"]["rows"]
        assert min(many["seconds"], many["cpu_seconds"]) > 0
        assert each["core_hours"] >= 2 * many["seconds"] / 3600 * 0.99
        # A byte per band, and a label is a byte before it is packed.
        assert each["decoded"] == pytest.approx(3e9 * each["readings"], rel=1e-3)
        assert each["read"] == pytest.approx(1e9 * each["readings"] * each["stored"], rel=1e-3)
        assert 0 < many["label_bytes"] <= 1.1 * many["rows"]
    assert "costs at 0.5 per core-hour" in (tmp_path / "cost.md").read_text()


@pytest.mark.long
def test_a_model_of_a_cluster_is_calibrated_and_put_beside_what_is_measured(tmp_path):
    result = toy_result(bench_cluster, "cluster", tmp_path, "--turns", "1")
    costs = result["costs"]
    assert all(costs[name] > 0 for name in costs if name != "heartbeat")
    assert {each["kind"] for each in result["checks"]} == {"E-step", "sleep"}
    for each in result["checks"]:
        # A leaf that sleeps so long is not done before.
        assert each["error"] == pytest.approx(each["predicted"] / each["measured"] - 1, rel=1e-2)
        if each["kind"] == "sleep":
            least = each["leaves"] * each["leaf_seconds"] / each["slots"]
            assert min(each["measured"], each["predicted"]) >= 0.99 * least


@pytest.mark.slow
def test_the_truth_is_found_by_a_run_and_its_workers_are_watched(tmp_path):
    arguments = ["--directory", str(tmp_path / "data"), "--delete", "--name", "toy"]
    bars = ["--require-deviation", "5", "--require-memory", "1"]
    result = toy_result(bench_out_of_core, "toy", tmp_path, *arguments, *bars)
    assert not list((tmp_path / "data").iterdir())
    for each in result["runs"].values():
        assert each["converged"]
        assert each["passes"] >= 3
        assert 100 << 20 < each["peak_bytes"] < 512 << 20


def test_a_bar_is_required_and_no_number_meets_none():
    required("a", 1.0)
    required("a", 1.0, least=1.0, most=1.0)
    for missed in ({"least": 2.0}, {"most": 0.5}):
        with pytest.raises(click.ClickException, match="below its bar: a: 1, required is at"):
            required("a", 1.0, **missed)
    with pytest.raises(click.ClickException):
        required("a", float("nan"), most=3.0)


def test_sampling_errors_are_those_that_repeated_fits_have():
    """One component: the errors have a closed form; and the rows drawn scatter as they say."""
    known = Known(3, 1, 40_000, 10_000)
    _, means, covariances = known.parameters()
    errors = standard_errors(known, 40_000)
    variances = np.diagonal(covariances[0])
    np.testing.assert_allclose(errors[1][0], np.sqrt(variances / known.rows), rtol=0.03)
    form = np.sqrt((np.outer(variances, variances) + covariances[0] ** 2) / known.rows)
    np.testing.assert_allclose(errors[2][0], form, rtol=0.05)
    rows = np.concatenate(list(known.blocks(known.rows))).astype(float)
    assert len(rows) == known.rows
    assert np.abs((rows.mean(axis=0) - means[0]) / errors[1][0]).max() < 5
    assert np.abs((np.cov(rows.T) - covariances[0]) / errors[2][0]).max() < 5


def test_overlap_makes_sampling_errors_larger():
    known = Known(2, 3, 30_000, 10_000)
    weights, means, covariances = known.parameters()
    of_weights, of_means, _ = standard_errors(known)
    alone = np.sqrt(weights * (1 - weights) / known.rows)
    assert (of_weights > 0.97 * alone).all()
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    assert (of_means > 0.97 * np.sqrt(variances / weights[:, None] / known.rows)).all()
    rows = known.block(0).astype(float)
    densities = [
        w * multivariate_normal(m, c).pdf(rows)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    shares = (densities / np.sum(densities, axis=0)).mean(axis=1)
    np.testing.assert_allclose(shares, weights, atol=5 / np.sqrt(len(rows)))


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # of pyspark, on pandas and sockets
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_and_we_iterate_on_the_same_files(tmp_path):
    pytest.importorskip("pyspark", reason="pip install pyspark")
    result = toy_result(bench_spark, "spark", tmp_path, "--memory", "1g")
    assert not result["failed"]
    assert len(result["cases"]) == len(bench_spark.QUICK_SIZES)
    for each in result["cases"]:
        for times in each["seconds"].values():
            assert min(times.values()) > 0


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # of pyspark, on pandas and sockets
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_fits_of_spark_and_of_ours_are_judged_by_one_code(tmp_path):
    pytest.importorskip("pyspark", reason="pip install pyspark")
    result = toy_result(bench_spark_fit, "spark_fit", tmp_path, "--memory", "1g", "--seeds", "1")
    (pair,) = result["pairs"]
    ours, spark, both = pair["ours"], pair["spark"], pair["compared"]
    assert [each["iterations"] for each in spark] == list(bench_spark_fit.QUICK_ITERATIONS)
    # EM only rises, and three iterations from random rows are no match for a whole fit.
    assert spark[0]["likelihood"] < spark[1]["likelihood"] < ours["likelihood"]
    assert ours["likelihood"] == pytest.approx(result["truth"], abs=0.05)
    assert both["level"] == pytest.approx(spark[1]["likelihood"] - bench_spark_fit.EQUAL, rel=1e-4)
    assert 0 < both["ours"] <= ours["seconds"]


def test_equal_likelihood_is_the_lower_end_and_found_at_its_first_time():
    ours = {"seconds": 3.0, "likelihood": -1.0, "course": [(1.0, -1.5), (2.0, -1.1)]}
    spark = [{"seconds": 10.0, "likelihood": -2.0}, {"seconds": 20.0, "likelihood": -1.2}]
    found = bench_spark_fit.compared(ours, spark)
    assert (found["ours"], found["spark"]) == (2.0, 20.0)
    better = [*spark, {"seconds": 40.0, "likelihood": -0.5}]
    found = bench_spark_fit.compared(ours, better)
    assert (found["ours"], found["spark"]) == (3.0, 40.0)


@pytest.mark.long
def test_scikit_learn_is_taken_to_its_ceiling_and_to_equal_likelihood(tmp_path, capsys):
    arguments = ["--ceiling", "0.45", "--seconds", "60"]
    result = toy_result(bench_sklearn, "sklearn", tmp_path, *arguments, "--require-memory", "1")
    ways = [(each["dtype"], each["threads"]) for each in result["ways"]["ways"]]
    assert ways == list(sklearn_scale.WAYS)
    least = min(each["fit"] for each in result["ways"]["ways"])
    assert least == result["ways"]["ways"][ways.index(sklearn_scale.fastest(result["ways"]))]["fit"]
    series = result["scale"]["series"]
    assert [each["rows"] for each in series] == [n.rows for n in sklearn_scale.QUICK_SIZES]
    assert [each["peer"]["stopped_by"] for each in series] == [None, None, "memory"]
    assert series[2]["ratio"] is None
    assert series[2]["needed_bytes"] > 0.45 * 2**30 > series[1]["peer"]["peak_bytes"]
    for each in series:
        assert each["ours"]["iterations"] == each["iterations"]
        assert each["ours"]["largest_bytes"] < each["ours"]["peak_bytes"]
    for each in series[:2]:
        assert each["peer"]["iterations"] == each["iterations"]
        assert each["apart"] < 1e-3  # both made the same steps, scikit-learn in float32
        assert each["peer"]["fit"] < each["peer"]["seconds"]
    end = result["end"]
    assert end["peer"]["own_word_apart"] < 1e-4
    assert len(end["peer"]["at"]) == len(end["peer"]["above_truth"]) > end["peer"]["default_end"]
    assert [each["settings"] for each in end["ours"][:2]] == list(sklearn_end.OURS)[:2]
    assert end["goals"]["ours"]["ours"] <= end["ours"][0]["seconds"]
    page = (tmp_path / "sklearn.md").read_text()
    assert "| stopped after" in page
    assert page.index("Where scikit-learn wins") < page.index("| rows |")
    # One part again, of a bar that no run meets: the other part's numbers are kept.
    again = ["--quick", "--only", "end", "--seconds", "60", "--output", str(tmp_path)]
    assert bench_sklearn.main([*again, "--require-end-to-end", "1e9"]) == 1
    assert "below its bar: end to end" in capsys.readouterr().err
    assert json.loads((tmp_path / "sklearn.json").read_text())["scale"] == result["scale"]


def test_equal_likelihood_is_that_of_either_end_and_who_never_was_there_has_no_time():
    peer = {"at": [10.0, 20.0, 30.0], "above_truth": [-0.5, -0.02, -0.01], "default_end": 1}
    ours = [{"seconds": 2.0, "settings": "defaults", "above_truth": -0.03}]
    goals = sklearn_end.goals(ours, peer)
    assert goals["default"]["ours"] is None
    assert goals["default"]["ratio"] is None
    assert goals["ours"]["peer"] == 20.0
    ours.append({"seconds": 4.0, "settings": "tol 1e-7", "above_truth": 0.01})
    goals = sklearn_end.goals(ours, peer)
    assert (goals["default"]["peer"], goals["default"]["ours"]) == (20.0, 4.0)
    assert goals["default"]["settings"] == "tol 1e-7"
    assert goals["tight"]["ratio"] == pytest.approx(30.0 / 4.0)
    ahead = sklearn_end.goals(ours[1:], peer)["ours"]
    assert ahead["peer"] is None
    assert ahead["ratio"] == pytest.approx(30.0 / 4.0)  # at least


@pytest.mark.slow
def test_dask_ml_and_we_label_the_same_rows(tmp_path, capsys):
    pytest.importorskip("dask_ml", reason="pip install dask-ml")
    bar = ["--seeds", "1", "--require-gain", "-1"]
    result = toy_result(bench_dask_ml, "dask_ml", tmp_path, *bar)
    (case,) = result["cases"]
    assert list(case["ways"]) == list(bench_dask_ml.WAYS)
    best = case["best"]["accuracy"][0]
    for each in case["ways"].values():
        assert 0 < each["ari"][0] < 1
        assert 0.5 < each["accuracy"][0] < best + 0.01
        assert 50 << 20 < each["peak_bytes"][0] < 4 << 30
    # Components of different shapes: the family that has them comes near to the truth.
    assert case["ways"]["dask-gmm, full"]["accuracy"][0] > best - 0.02


def test_where_dask_ml_wins_its_page_says_so():
    same = {"seconds": [2.0], "accuracy": [0.9], "peak_bytes": [9]}
    ways = dict.fromkeys(bench_dask_ml.WAYS, same)
    result = {"cases": [{"D": 3, "K": 8, "rows": 1000, "ways": ways}]}
    assert "Nowhere here" in bench_dask_ml.first_words(result)
    ways[bench_dask_ml.PEER] = same | {"seconds": [1.0], "accuracy": [0.95]}
    words = bench_dask_ml.first_words(result)
    assert "faster (D = 3, K = 8, 1,000 rows: 1.0 s, 2.0 s)" in words
    assert "more accurate" in words
    assert "smaller" not in words


def test_agreement_is_that_of_scikit_learn_whatever_the_labels_are_called():
    generator = np.random.default_rng(0)
    truth, labels = generator.integers(0, 4, (2, 500))
    labels = np.where(generator.random(500) < 0.6, (truth + 1) % 4, labels) + 1
    counts = np.zeros((4, 5), np.int64)
    np.add.at(counts, (truth, labels), 1)
    found = Agreement.of_counts(counts)
    assert found.ari == pytest.approx(adjusted_rand_score(truth, labels))
    assert found.accuracy == np.mean(labels - 1 == (truth + 1) % 4)
    assert best_possible(Known(3, 4, 4_000, 1_000, apart=50.0), 4_000) == (1.0, 1.0)


def test_our_likelihood_at_mclusts_parameters_is_mclusts(tmp_path, capsys):
    _needs_mclust()
    result = toy_result(bench_mclust, "mclust", tmp_path, "--require-kernel", "1e-10")
    assert {each["family"] for each in result["cells"]} == set(bench_mclust.FAMILIES)
    assert len(result["cells"]) == 3 * (4 + 2)
    for each in result["cells"]:
        assert each["kernel"] < 1e-10
        if each["K"] == 1:  # one optimum, in a closed form
            assert each["verdict"] == "equal"
    assert bench_mclust.main(["--quick", "--require-share", "1.1"]) == 1
    assert "cells where ours is as high" in capsys.readouterr().err


def _needs_mclust():
    if shutil.which("Rscript") is None:
        pytest.skip("R is missing")
    asked = ["Rscript", "-e", "if (!requireNamespace('mclust', quietly = TRUE)) quit(status = 9)"]
    if subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("R lacks mclust (Debian: r-cran-mclust)")


def test_only_optima_that_are_not_spurious_are_compared():
    sound, higher = (Optimum(level, 0.1, 50.0, False) for level in (-100.0, -99.0))
    spurious = Optimum(-10.0, 1e-9, 2.0, True)
    assert verdict(sound, higher) == "ours higher"
    assert verdict(higher, sound) == "mclust higher"
    assert verdict(sound, sound) == "equal"
    assert verdict(sound, spurious) == "mclust sound, ours spurious"
    assert verdict(None, sound) == "mclust singular, ours sound"


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


def test_every_bar_names_what_its_result_holds():
    """A result that is there has the keys that a bar reads; one that lacks is no error."""
    found = held(BARS)
    assert len(found) == len(BARS) == len({bar.what for bar in BARS})
    for each in found:
        bar = each.bar
        assert (bar.least > -np.inf) != (bar.most < np.inf), bar.what
        if (RESULTS / f"{bar.result}.json").exists() and each.measured is not None:
            assert np.isfinite(each.measured), bar.what
            assert each.when, bar.what
            assert each.met or bar.bounded_by, (
                f"missed, and nothing says what bounds it: {bar.what}"
            )


def test_bars_that_are_missed_come_first_and_what_lacks_is_not_measured(tmp_path):
    machine = {"date": "2020-02-02", "cpu": "Z80", "cores": 1}
    (tmp_path / "a.json").write_text(json.dumps({"machine": machine, "x": 1.5, "rows": 10}))
    bars = [
        Bar("met", "a", lambda result: result["x"], least=1, bounded_by="nothing"),
        Bar("another size", "a", of_rows(11, lambda result: result["x"]), most=1),
        Bar("no file", "b", lambda result: result["y"], most=1),
        Bar("missed", "a", lambda result: result["x"], most=1, bounded_by="memory"),
    ]
    assert [each.bar.what for each in held(bars, tmp_path)] == [
        "missed", "another size", "no file", "met",
    ]  # fmt: skip
    text = page(bars, tmp_path)
    assert "1 met, 1 missed, 2 not measured" in text
    assert "| missed | at most 1 | 1.5 | **missed** | 2020-02-02 | Z80, 1 cores | memory |" in text
    assert "| no file | at most 1 |  | not measured |" in text
    assert "nothing" not in text


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        collect.collected("# A page", "figures")


def test_the_rule_takes_the_kernel_that_was_measured_to_be_faster_or_nearly_so():
    result = json.loads((RESULTS / "kernels.json").read_text())
    assert len(result["cells"]) == len(bench_kernels.FEATURES) * len(bench_kernels.COMPONENTS)
    for each in result["cells"]:
        centred = centred_is_cheaper(FAMILIES["full"], each["K"], each["D"])
        ns = each["ns_per_row"]
        taken = ns["centred" if centred else "phi"]
        assert taken <= 1.15 * min(ns["phi"], ns["centred"]), each
        assert taken <= ns["peer"], each
