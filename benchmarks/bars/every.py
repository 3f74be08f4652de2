"""Every bar that was set, as data: where its value is, what is required, and what bounds it.

The sentences on what bounds a missed bar are written by hand and hold no figure of a measurement:
those come from the results. ``benchmarks.collect`` puts the table into the README.
"""

from __future__ import annotations

from math import inf
from statistics import median

from benchmarks.bars.table import Bar
from benchmarks.bars.values import (
    above_plain,
    cost_of_row,
    deviation,
    end_to_end,
    engine,
    found,
    least_of_limit,
    memory,
    memory_of_rows,
    of_billion,
    of_case,
    of_rows,
    of_spark,
    relief,
    worst,
)

_THIN = (
    "Products of short sides do not run at the rate of large ones, by which the limit is counted; "
    "these alone, in the step's shapes, take most of our time."
)
_SPARK = (
    "A row's products and exponentials alone are the smaller part of an iteration over "
    "files; reading and decoding Parquet, which Spark's cached rows are spared, what remains of "
    'the kernel, the engine and waiting are the rest ("To the limit" has the parts).'
)

#: Every bar of the issues, in their order.
BARS = (
    *(
        Bar(
            f"EM iteration, D, K = {D}, {K}, full: scikit-learn's time over ours",
            "em_step",
            of_case(D, K, "full", "ratio"),
            least=least,
            bounded_by=_THIN,
        )
        for D, K, least in ((3, 8, 20), (6, 16, 20), (16, 16, 10), (32, 32, 8), (128, 32, 2.2))
    ),
    Bar(
        "labels, D, K = 6, 16, full: scikit-learn's time over ours",
        "em_step",
        of_case(6, 16, "full", "predict_ratio"),
        least=15,
    ),
    Bar(
        "share of the machine's limit, D < 16",
        "em_step",
        least_of_limit(0, 16),
        least=0.5,
        bounded_by=_THIN,
    ),
    Bar(
        "share of the machine's limit, D >= 16",
        "em_step",
        least_of_limit(16, inf),
        least=0.6,
        bounded_by=_THIN,
    ),
    Bar(
        "EM iteration anywhere on the grid: scikit-learn's time over ours",
        "kernels",
        lambda result: min(each["ratio"] for each in result["cells"]),
        least=1,
    ),
    Bar(
        "10 million rows, D, K = 6, 16, to equal likelihood (scikit-learn's end at its default "
        "tolerance): its time over ours",
        "sklearn",
        end_to_end("default"),
        least=30,
        bounded_by="Its default tolerance ends it after a few iterations, far below the truth's "
        "likelihood; ours is above that after its first reading of EM. The start of processes, "
        "survey, starts on the sample and report take a time of their own, however few readings "
        "follow.",
    ),
    Bar(
        "the same, to the likelihood of our end with defaults (at least: it is not there when it "
        "is stopped)",
        "sklearn",
        end_to_end("ours"),
        least=30,
    ),
    Bar("8.6 GB: sampling errors from the truth", "out_of_core", deviation, most=5),
    Bar("8.6 GB: largest worker over its 512 MiB", "out_of_core", memory, most=1),
    Bar(
        "10^9 rows, D, K = 4, 8: sampling errors from the truth",
        "billion",
        of_billion(deviation),
        most=5,
    ),
    Bar(
        "10^9 rows, D, K = 4, 8: largest worker over its 2 GiB",
        "billion",
        of_billion(memory),
        most=1,
    ),
    Bar(
        "a pass over the sum of reading and arithmetic",
        "pass_cost",
        worst("cases", "of_sum"),
        most=1.15,
    ),
    Bar(
        "a pass from a slow store over the larger of the two",
        "pass_cost",
        worst("cases", "of_larger"),
        most=1.15,
        bounded_by="Delay and arithmetic are made equally long there, so that every wait for one "
        "of them shows; the first chunks are waited for in any case.",
    ),
    Bar("engine for 10^5 chunks, s", "chunks", engine, most=1),
    Bar(
        "10^8 rows and more: time of one worker over that of two",
        "scaling",
        lambda result: min(e["speedup"] for e in result["series"] if e["rows"] >= 1e8),
        least=1.8,
        bounded_by="Client and scheduler have the second core to themselves beside one worker, and "
        "share both beside two: its page has the ratio to all on one core.",
    ),
    Bar("cost of a row over that with a tenth of the rows", "scaling", cost_of_row, most=1.15),
    Bar("memory over that with a tenth of the rows", "scaling", memory_of_rows, most=1.15),
    *(
        Bar(
            f"a row and iteration, D, K = {D}, {K}: Spark's time over ours",
            "spark",
            of_spark(D, K),
            least=least,
            bounded_by=_SPARK,
        )
        for D, K, least in ((3, 8, 50), (6, 16, 50), (16, 16, 30), (32, 32, 20))
    ),
    Bar("overlapping mixtures: readings", "passes", worst("overlapping", "readings"), most=6),
    Bar("overlapping mixtures: nats a row above plain EM", "passes", above_plain, least=-1e-6),
    Bar(
        "slow mixture: evaluations over those of plain EM",
        "passes",
        lambda result: result["slow"]["readings"] / result["slow"]["plain"],
        most=0.2,
    ),
    Bar(
        "60 candidates, 20 million rows: readings over those of the slowest",
        "selection",
        of_rows(20e6, lambda result: result["passes_of_slowest"]),
        most=1.5,
    ),
    Bar(
        "60 candidates, 20 million rows: time over that one by one",
        "selection",
        of_rows(20e6, lambda result: result["time"]),
        most=0.3334,
        bounded_by="Starts on the sample are shared with nobody.",
    ),
    Bar(
        "60 candidates, halving off: time over that one by one",
        "selection",
        of_rows(20e6, lambda result: result["time_without_halving"]),
        most=0.8,
        bounded_by="Arithmetic is not shared: every candidate has its own.",
    ),
    Bar(
        "58 million pixels, compressed: five plain passes over a fit of four starts",
        "compression",
        lambda result: result["fit"]["ratio"],
        least=1,
    ),
    Bar(
        "58 million pixels: labels by kernel over by look-up",
        "compression",
        lambda result: result["labels"]["ratio"],
        least=8,
    ),
    Bar(
        "labels by look-up that differ and are no ties",
        "compression",
        lambda result: result["labels"]["different"],
        most=0,
    ),
    Bar("a class of a ten-thousandth of 20 million rows: found", "rare", found, least=0.95),
    Bar(
        "prediction over reading, kernel and writing",
        "prediction",
        worst("cases", "of_sum"),
        most=1.2,
    ),
    Bar("shaded relief end to end, s", "prediction", relief, most=60),
    Bar(
        "shaded relief with five features and a field, s",
        "context",
        lambda result: result["runs"]["five features, field"]["seconds"],
        most=180,
    ),
    Bar(
        "a field: errors over those of the mixture",
        "context",
        lambda result: max(
            each["wrong"]["ours"] / each["wrong"]["mixture"] for each in result["sweeps"]
        ),
        most=0.5,
    ),
    Bar(
        "a field's sweep over reading and writing its block in memory",
        "context",
        worst("sweeps", "of_block"),
        most=1,
        bounded_by="A sweep adds up all neighbours and takes an exponential for every pixel and "
        "class; a copy does no arithmetic.",
    ),
    Bar(
        "dask-gmm --help, s",
        "startup",
        lambda result: result["seconds"]["dask-gmm --help"][0],
        most=0.4,
    ),
    Bar(
        "every part of a fit on: readings",
        "ablation",
        lambda result: max(each["ways"]["ours"]["readings"] for each in result["data"]),
        most=10,
    ),
    Bar(
        "2 million rows, D, K = 6, 16, to equal likelihood: Spark's time over ours",
        "spark_fit",
        lambda result: median(pair["compared"]["ratio"] for pair in result["pairs"]),
        least=20,
    ),
    Bar(
        "labels: accuracy above dask-ml's KMeans",
        "dask_ml",
        lambda result: min(case["gain"][0] for case in result["cases"]),
        least=0,
    ),
    Bar(
        "likelihood at mclust's parameters: relative difference",
        "mclust",
        lambda result: result["kernel"],
        most=1e-10,
    ),
    Bar(
        "model of a cluster against measured readings: error, median",
        "cluster",
        lambda result: median(abs(each["error"]) for each in result["checks"]),
        most=0.25,
    ),
)
