"""What the tests of the report share: one run's record, its history and its picture."""

from __future__ import annotations

import copy
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest

from dask_gmm.mixture.parameters import Parameters
from dask_gmm.mixture.profiling import profile
from dask_gmm.mixture.rows import Rows
from dask_gmm.mixture.views import views_of
from dask_gmm.run.quicklook import Quicklook

RECORD = {
    "format": "dask-gmm run manifest",
    "format_version": 1,
    "name": "coast",
    "run_id": "2026-11-23T02-44-05-4f1c",
    "version": "0.1.0",
    "status": "done",
    "started": "2026-11-23T02:44:05.120000+00:00",
    "finished": "2026-11-23T02:44:26.520000+00:00",
    "configuration_hash": "9f2c51f0",
    "configuration": {"version": 1, "model": {"n_components": 3}},
    "inputs": [
        {
            "kind": "zarr",
            "path": "/data/coast.zarr",
            "variable": None,
            "shape": [60, 80, 3],
            "n_features": 3,
            "dtype": "uint8",
            "chunks": [30, 40, 3],
            "fingerprint": "3b5d5c37",
            "stored_bytes": 23_456_789,
            "decoded_bytes": 43_740_000,
            "n_cells": 4,
        }
    ],
    "feature_names": ["red", "green", "blue"],
    "rows": {"total": 4800, "masked": 80, "used": 4720},
    "model": {
        "n_components": 3,
        "covariance_type": "full",
        "n_features": 3,
        "n_parameters": 29,
        "mean_log_likelihood": -9.5396947,
        "aic": 90112.5,
        "bic": 90299.25,
        "icl": 90400.75,
        "standardize": True,
        "reg_covar": "auto",
    },
    "classes": [
        {"label": 1, "weight": 0.6, "mean": [2, 5, 20], "std": [1, 2, 3.25], "rows": 2832},
        {"label": 2, "weight": 0.3, "mean": [250, 251, 252.6], "std": [1, 1, 1], "rows": 1416},
        {"label": 3, "weight": 0.1, "mean": [90, 80, 40], "std": [9, 8, 7], "rows": 472},
    ],
    "fit": {
        "converged": True,
        "stopped_by": "the gain still to come is below 0.05 nats per free parameter",
        "n_iter": 7,
        "predicted_gain": 1.25,
        "passes": {"survey": 1, "em": 8, "predict": 1, "total": 10},
        "compression": {
            "used": True,
            "distinct_rows": 472,
            "factor": 10.0,
            "why_not": None,
        },
        "leaves": 2,
        "sample_rows": 4000,
        "starts": [
            {
                "seed": 11,
                "mean_log_likelihood": -9.61,
                "n_iter": 31,
                "splits_and_merges": 1,
                "status": "converged",
            },
            {
                "seed": 12,
                "mean_log_likelihood": -9.58,
                "n_iter": 44,
                "splits_and_merges": 1,
                "status": "max_iter",
            },
        ],
    },
    "cluster": {"kind": "local", "n_workers": 2, "memory_limit": 2**31},
    "environment": {
        "python": "3.11.7",
        "platform": "Linux-6.1",
        "cpu": "a processor, avx2",
        "blas": "OpenBLAS 0.3.31",
        "packages": {"numpy": "2.4.6"},
    },
    "timings": [{"step": "survey", "seconds": 1.25}, {"step": "EM", "seconds": 192.0}],
    "outputs": {"labels": {"path": "labels.zarr", "dtype": "uint8", "shape": [60, 80]}},
    "warnings": [],
}
HISTORY = [
    {"stage": "sample", "start": s, "iteration": i, "mean_log_likelihood": -9.6 - 1 / i,
     "seconds": 0.1}
    for s in (11, 12)
    for i in range(1, 6)
] + [
    {"stage": "full", "start": 12, "iteration": i, "mean_log_likelihood": -9.54 - 1e-3 / i,
     "seconds": 1.0, "fall": False}
    for i in range(1, 8)
]  # fmt: skip


@pytest.fixture
def report_record():
    """The record of a finished run over an 8-bit colour picture, every field present."""
    return copy.deepcopy(RECORD)


@pytest.fixture
def report_history():
    """Two starts on the sample, seven iterations on all rows."""
    return copy.deepcopy(HISTORY)


@pytest.fixture
def make_quicklook():
    """A function of the number of features; three classes in stripes, some pixels masked."""
    return _quicklook


def _quicklook(n_features=3, *, dtype=np.float32, uncertainty=True):
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(4, dtype=np.uint8), 20)[None].repeat(60, 0)
    labels[1:, :20] = 1  # one masked row of pixels in the first stripe
    doubt = rng.random(labels.shape).astype(np.float32)
    doubt[labels == 0] = np.nan
    picture = rng.integers(0, 256, (*labels.shape, n_features)).astype(dtype)
    chances = np.float32(254) * (labels[::2, ::2, None] == [1, 2, 3])
    doubt = doubt if uncertainty else None
    return Quicklook(
        picture, labels, doubt, stride=1, probabilities=chances, mapped=labels[::2, ::2]
    )


@pytest.fixture(scope="session")
def fitted():
    """A mixture of three classes in three features, and the profile of its rows."""
    rng = np.random.default_rng(8)
    means = np.array([[2, 5, 20], [250, 251, 252.6], [90, 80, 40]])
    spreads = np.array([[1, 2, 3.25], [1, 1, 1], [9, 8, 7]])
    mixture = Parameters.of("diag", [0.6, 0.3, 0.1], means, spreads**2)
    of = rng.choice(3, 4000, p=mixture.weights)
    rows = rng.normal(means[of], spreads[of])
    rows[of == 2] = means[2] + spreads[2] * rng.standard_t(3, (int((of == 2).sum()), 3)) / 3**0.5
    return mixture, profile([Rows(rows)], mixture, views_of(mixture))


def gaussian(fitted, record):
    """Put what the profile says of the classes into a record."""
    for k, each in enumerate(record["classes"]):
        each["gaussian"] = asdict(fitted[1].shape(k))
    return record


class _Page(HTMLParser):
    """Elements with their attributes, all visible text, and whether every tag was closed."""

    VOID = frozenset({"img", "meta", "link", "input", "br", "hr"})

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text += data + " "

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(self.text.split())


@pytest.fixture
def parse_page():
    """A function of the page's text; it refuses a page whose tags do not match."""
    return _Page
