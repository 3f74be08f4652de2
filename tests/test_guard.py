"""Nothing has become slower: the one timed test, and proof that it would fail.

Speed is measured in ``benchmarks``, and no other test looks at a clock: what a clock says depends
on the machine and on its other work. This guard may, because it looks at no time but at ratios of
processor times, ours over NumPy's taken turn by turn in this process, with room for noise; so a
loss shows with the change that made it, and not with the next run of the benchmarks.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
from threadpoolctl import threadpool_limits

from benchmarks import guard
from benchmarks.guarded import ratios as guarded
from benchmarks.guarded.pair import Pair
from dask_gmm.mixture.e_step import Sums
from dask_gmm.mixture.rows import Rows


@pytest.mark.slow
def test_nothing_has_become_slower(tmp_path):
    found = guard.verdicts()
    assert not [str(each) for each in found if each.lost]
    # Everything watched has been recorded, on every kind of processor.
    for kind in guard.recorded_ratios()["kinds"].values():
        assert [each.name for each in found] == list(kind["ratios"])


@pytest.mark.parametrize("case", [(3, 8, "full"), (16, 16, "full"), (6, 16, "diag")])
def test_a_slower_e_step_is_found(case, monkeypatch):
    """It does four fifths of its rows twice: on a busy machine noise may hide less."""
    with threadpool_limits(1):
        pair = guarded.e_step_pair(*case)
        most = guard.ALLOWED * median(guard.ratio(pair) for _ in range(3))
        assert not guard.judged(pair, most).lost
        monkeypatch.setattr(Sums, "add", slower)
        assert guard.judged(pair, most).lost


add = Sums.add


def slower(self, block):
    add(self, block)
    add(self, Rows(block.values[: 4 * len(block.values) // 5]))


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture
def two_pairs(monkeypatch):
    """Two things to watch, of a millisecond and two; the seconds of ours can be changed."""
    ours = {"one": 1e-3, "two": 2e-3}

    def pairs(place):
        for name in ours:
            yield Pair(name, lambda name=name: busy(ours[name]), lambda: busy(1e-3))

    monkeypatch.setattr(guard, "pairs", pairs)
    return ours


def test_what_is_recorded_is_held_and_a_loss_is_named(two_pairs, tmp_path, capsys):
    where = ["--output", str(tmp_path)]
    assert guard.main(["--record", *where]) == 0
    (kind,) = guard.recorded_ratios(tmp_path)["kinds"].values()
    assert kind["ratios"]["two"][0] == pytest.approx(2.0, rel=0.2)
    assert "| two | 2" in (tmp_path / "guard.md").read_text()
    assert (tmp_path / "guard.png").read_bytes().startswith(b"\x89PNG")
    assert guard.main(where) == 0
    assert "SLOWER" not in capsys.readouterr().out
    two_pairs["two"] = 4e-3
    assert guard.main(where) == 1
    heard = capsys.readouterr()
    assert "SLOWER  two" in heard.out
    assert "slower than recorded, however often measured: two. Find" in heard.err


def test_noise_goes_and_a_loss_stays():
    pair = Pair("a", busy, busy)
    noisy, lost = iter([3.0, 2.5, 1.2, 9.0]), iter([3.0, 2.5, 2.4, 2.6])
    assert guard.judged(pair, 2.0, lambda _: next(noisy)).measured == 1.2
    assert next(noisy) == 9.0
    verdict = guard.judged(pair, 2.0, lambda _: next(lost))
    assert verdict.lost
    assert verdict.measured == 2.4
    assert guard.judged(pair, 2.0, lambda _: float("nan")).lost


def test_an_unknown_processor_has_a_looser_bar_and_its_own_once_recorded():
    kinds = {
        "A (Haswell)": {"ratios": {"x": [1.0, 0.9, 1.1], "y": [2.0, 2.0, 2.0]}},
        "A (SkylakeX)": {"ratios": {"x": [3.0, 2.9, 3.1]}},
    }
    at_home = guard.bars({"kinds": kinds}, "A (SkylakeX)")
    assert at_home == {"x": pytest.approx(3.0 * guard.ALLOWED)}
    elsewhere = guard.bars({"kinds": kinds}, "B (Zen)")
    assert elsewhere == {"x": 3.0 * guard.ALLOWED_ELSEWHERE, "y": 2.0 * guard.ALLOWED_ELSEWHERE}
    machine = {"cpu": "A", "blas": "openblas 0.3.30 (SkylakeX), openblas 0.3.31 (SkylakeX)"}
    assert guard.kind_of(machine) == "A (SkylakeX)"
