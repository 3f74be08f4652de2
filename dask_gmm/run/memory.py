"""What a worker process will hold at its peak, told before anything is read.

An upper bound: ``tests/run/test_memory.py`` measures workers and asserts that none exceeds it, and
that it is no more than two and a half times too high where the data, not the process, decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from dask_gmm.data.sinks import JOINED_ROWS
from dask_gmm.engine.leaves import FAN_IN
from dask_gmm.engine.limits import PAUSE
from dask_gmm.mixture.blocking import several_bytes, workspace_bytes
from dask_gmm.mixture.counting import counter_bytes
from dask_gmm.mixture.counts import counted_bytes
from dask_gmm.mixture.families import Family
from dask_gmm.mixture.lookup import LARGEST_TABLE, finder_bytes, look_up_bytes
from dask_gmm.mixture.profile import profile_bytes
from dask_gmm.mixture.second_draw import LARGEST_SHARE
from dask_gmm.run.forms import Form, forms
from dask_gmm.run.quicklook import MAP_SIDE, MAX_FEATURES, MAX_SIDE, MOST_MAPS, MOST_PICTURES
from dask_gmm.run.smoothed import ROWS

#: A worker process that has imported everything and holds no data, and what its heap keeps.
PROCESS_BYTES = 400 << 20
#: Shares of a worker's memory limit at which it stops taking tasks: one of ours, and by Dask's own
#: default one that others have set up.
USABLE, USABLE_ELSEWHERE = PAUSE, 0.8
#: Memory that is freed in pieces smaller than this stays with the process (glibc's threshold).
KEPT = 32 << 20


@dataclass(frozen=True)
class Load:
    """What decides how much memory a run takes.

    Attributes
    ----------
    rows : int
        Of the largest cell.
    n_rows : int
        Of all the data.
    n_features, itemsize : int
    read_ahead : bool
        Whether there are several cells, of which one is read while another is worked on.
    row_bytes : int
        Of a row as it is read, with its weight.
    copied : bool
        Whether the rows of a cell do not lie in memory as they are stored.
    joined_bytes : int or None
        Where results are joined to files: what that takes beside them, of columns carried through
        the most in one cell; None: nothing is joined.
    pictured : bool
        Whether pixels are handed on for the report.
    n_leaves, sample_rows : int
    family : Family
    n_components : int
        Of the largest candidate.
    together : tuple of (Family, int)
        Family and K of every mixture that may share a reading.
    outputs : tuple of str
        By name, those that are written.
    top : int or None
        Probabilities of a row that are written; None: all.
    quantised : bool
        Whether they are bytes.
    threads : int
        Tasks at a time in one worker.
    beside_bytes : int
        What reading the largest cell takes beyond its rows: masks, weights, columns not asked for.
    most_distinct : int
        Distinct rows that are counted at most.
    usable : float
        Share of a worker's memory limit that can be used.
    around_rows : int
        Of the largest cell with a margin, and of the columns of chunks that are kept for the next;
        0: cells are read without.
    field_bytes : int
        What smoothing one takes beside rows and results.
    """

    rows: int
    n_rows: int
    n_features: int
    itemsize: int
    read_ahead: bool
    row_bytes: int
    copied: bool
    joined_bytes: int | None
    pictured: bool
    n_leaves: int
    sample_rows: int
    family: Family
    n_components: int
    together: tuple[tuple[Family, int], ...]
    outputs: tuple[str, ...]
    threads: int
    beside_bytes: int = 0
    most_distinct: int = 0
    usable: float = USABLE
    top: int | None = None
    quantised: bool = False
    around_rows: int = 0
    field_bytes: int = 0

    @property
    def worker_bytes(self) -> int:
        """Bytes of a worker: its process, a task per thread, and results that wait to be added."""
        tasks = (self._survey, self._start, self._e_step, self._segmentation, self._joining)
        return PROCESS_BYTES + self.threads * max(tasks) + self._waiting

    def with_rows(self, rows: int) -> Load:
        """Return the load of the same data in chunks of so many rows."""
        joined = self.joined_bytes and -(-self.joined_bytes * rows // self.rows)
        beside = -(-self.beside_bytes * rows // self.rows)
        n_leaves = max(self.n_leaves, FAN_IN)
        # The smaller a cell, the more its margin takes in proportion.
        around = math.ceil(self.around_rows * math.sqrt(rows / self.rows))
        return replace(
            self,
            rows=rows,
            read_ahead=True,
            joined_bytes=joined,
            n_leaves=n_leaves,
            beside_bytes=beside,
            around_rows=around,
        )

    @property
    def _cell(self) -> int:
        return self.rows * self.row_bytes

    @property
    def _reading(self) -> int:
        """Cells in memory: decoded, on its way there, as stored, copied, and the one worked on."""
        cells = 3 + self.copied + self.read_ahead
        return cells * self._cell + (1 + self.read_ahead) * self.beside_bytes

    @property
    def _sample(self) -> int:
        return self.sample_rows * 8 * (self.n_features + 2)

    @property
    def _statistics(self) -> int:
        K = sum(K for _, K in self.together)
        return 8 * K * (self.n_features + 1) * (self.n_features + 2)

    @property
    def _survey(self) -> int:
        """Two arrays of row numbers; samples so far, merged, in order; counts; another leaf's."""
        # A leaf has several cells only as far as they are small: see engine.leaves.
        leaf = max(self.rows, -(-2 * self.n_rows // self.n_leaves))
        counting = counter_bytes(self._width, leaf, self.most_distinct)
        of_leaves = (3 + self.read_ahead) * self._sample + (1 + self.read_ahead) * counting
        return self._reading + 16 * self.rows + of_leaves

    @property
    def _width(self) -> int:
        return self.n_features * self.itemsize

    @property
    def _start(self) -> int:
        """The sample as sent and as used; responsibilities as drawn, weighted, and worked on.

        After a second draw there are twice as many rows.
        """
        alone = 3 * self._sample + 3 * 8 * self.sample_rows * self.n_components
        return (1 + self._draws) * alone

    @property
    def _draws(self) -> bool:
        """Whether EM's first reading may draw rows, too: see ``mixture.second_draw``."""
        return self.sample_rows <= LARGEST_SHARE * self.n_rows

    @property
    def _e_step(self) -> int:
        work = (1 + self.read_ahead) * several_bytes(self.together, self.n_features)
        passing = self._reading + work + (4 + 2 * self.read_ahead) * self._statistics
        if not self._draws:
            return passing
        # The rows drawn so far, merged, in order; row numbers; the mixture that is drawn by.
        own = workspace_bytes(self.family, self.n_components, self.n_features)
        drawing = (3 + self.read_ahead) * self._sample + (1 + self.read_ahead) * own
        return passing + drawing + 8 * self.rows

    @property
    def _segmentation(self) -> int:
        """Results of a cell, one of them encoded; the cell, and what its heap kept; buffers."""
        K = self.n_components
        shown = ("labels", "uncertainty") if self.pictured else ()
        held = self._row_bytes({*self.outputs, *shown})
        encoded = 2 * max((sum(self._row_bytes({name})) for name in self.outputs), default=0)
        # Of a slice all is said in full; to choose the best, copies of it are put in order.
        said = {name: form for name, form in forms(K).items() if name != "top_labels"}
        ordered = 0 if self.top is None else 16 * K
        slices = (3 * sum(_bytes(form) for form in said.values()) + ordered) * min(ROWS, self.rows)
        results = self.rows * (sum(held) + encoded)
        cells = self._cell + min(self._reading - self._cell, 3 * KEPT)
        if self.read_ahead:
            # The leaf that reads has written results before, and its heap may have kept some.
            cells = self._reading + min(results, KEPT)
        work = (1 + self.read_ahead) * workspace_bytes(self.family, K, self.n_features)
        field = self._around + self.field_bytes
        return cells + results + slices + work + self._look_up + 3 * self._profile + field

    @property
    def _around(self) -> int:
        """Return what margins take: of the leaf that is worked on, and of the one that reads."""
        row = self.row_bytes + -(-self.beside_bytes // self.rows)
        return (1 + self.read_ahead) * self.around_rows * row

    @property
    def _profile(self) -> int:
        return profile_bytes(self.n_components, self.n_features)

    @property
    def _look_up(self) -> int:
        """Return the table of distinct rows as sent and as used, and what finds places in it."""
        if not self.most_distinct:
            return 0
        table = min(LARGEST_TABLE, look_up_bytes(self.most_distinct, self.n_components))
        return 2 * table + finder_bytes(self.most_distinct, self._width)

    @property
    def _joining(self) -> int:
        """Some results as they were left, arranged and encoded; what is carried, and decoded."""
        if self.joined_bytes is None:
            return 0
        held = min(self.rows, JOINED_ROWS) * sum(self._row_bytes(self.outputs))
        return 4 * held + 2 * self.joined_bytes

    def _row_bytes(self, names: Iterable[str]) -> list[int]:
        """Return what a row of these outputs takes."""
        form = forms(self.n_components, top=self.top, quantised=self.quantised)
        return [_bytes(form[name]) for name in names]

    @property
    def _waiting(self) -> int:
        """Return the results of leaves that wait for their sum, and the sum under way."""
        drawn = min(self.n_rows, 4 * self.sample_rows, self.n_leaves * self.sample_rows)
        samples = drawn * 8 * (self.n_features + 2) + 2 * self._sample
        statistics = (min(self.n_leaves, FAN_IN) + 2) * self._statistics
        shown = min(self.n_features, MAX_FEATURES) * self.itemsize + 8
        maps = MOST_PICTURES * MAP_SIDE**2 * (min(self.n_components, MOST_MAPS) + 4)
        picture = min(MAX_SIDE**2, self.n_rows) * shown + maps if self.pictured else 0
        picture += (min(self.n_leaves, FAN_IN) + 2) * self._profile
        counts = (min(self.n_leaves, FAN_IN) + 2) * self.most_distinct * counted_bytes(self._width)
        return max(samples + counts, statistics + self._draws * samples, picture)


def fits(load: Load, memory_limit: int | None) -> bool:
    """Tell whether a worker with so much memory can hold its part."""
    return memory_limit is None or load.worker_bytes <= load.usable * memory_limit


def _bytes(form: Form) -> int:
    """Return what a row of an output takes."""
    return int(np.prod(form.trailing)) * np.dtype(form.dtype).itemsize
