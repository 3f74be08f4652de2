"""How the value of a bar is read from its result file; None where the file holds another size."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bars.table import Result


def of_case(D: int, K: int, family: str, name: str) -> Callable[[Result], float | None]:
    """Return what reads a figure of one case of ``em_step``."""

    def value(result: Result) -> float | None:
        at = f"{D},{K},{family}"
        return next((each[name][0] for each in result["cases"] if each["case"] == at), None)

    return value


def of_spark(D: int, K: int) -> Callable[[Result], float | None]:
    """Return what reads the ratio of one case of ``spark``."""

    def value(result: Result) -> float | None:
        at = (D, K)
        return next((e["ratio"] for e in result["cases"] if (e["D"], e["K"]) == at), None)

    return value


def least_of_limit(least_D: int, most_D: float) -> Callable[[Result], float | None]:
    """Return what reads the least share of the machine's limit, for some D."""

    def value(result: Result) -> float | None:
        some = [e["of_limit"][0] for e in result["cases"] if least_D <= e["D"] < most_D]
        return min(some, default=None)

    return value


def worst(name: str, of: str) -> Callable[[Result], float]:
    """Return what reads the largest of a figure."""
    return lambda result: max(each[of] for each in result[name])


def of_rows(rows: float, value: Callable[[Result], float]) -> Callable[[Result], float | None]:
    """Return what reads a figure where there are so many rows."""
    return lambda result: value(result) if result["rows"] >= rows else None


def of_billion(value: Callable[[Result], float]) -> Callable[[Result], float | None]:
    """Return what reads a figure of the job that is meant: K = 8, two workers of 2 GiB."""

    def meant(result: Result) -> float | None:
        at_most = result["limit"] <= 2 << 30 and result["rows"] >= 1e9
        return value(result) if at_most and result.get("components") == 8 else None

    return meant


def memory(result: Result) -> float:
    """Return the largest worker over its limit."""
    return max(each["peak_bytes"] for each in result["runs"].values()) / result["limit"]


def deviation(result: Result) -> float:
    """Return how far the parameter farthest from the truth is, in sampling errors."""
    return max(result["deviations"].values())


def cost_of_row(result: Result) -> float:
    """Return the cost of a row over that with a tenth of the rows."""
    tenth, last = result["series"][-2:]
    return (last["two"] / last["rows"]) / (tenth["two"] / tenth["rows"])


def memory_of_rows(result: Result) -> float:
    """Return the memory over that with a tenth of the rows."""
    tenth, last = result["series"][-2:]
    return last["peak_bytes"] / tenth["peak_bytes"]


def engine(result: Result) -> float | None:
    """Return the seconds of engine for a hundred thousand chunks."""
    return next((e["engine"] for e in result["series"] if e["chunks"] >= 100_000), None)


def relief(result: Result) -> float | None:
    """Return the seconds of the whole shaded relief."""
    return result["relief"]["run"] if result["relief"] else None


def end_to_end(goal: str) -> Callable[[Result], float | None]:
    """Return scikit-learn's time over ours to the likelihood of an end; 0: never as likely."""

    def value(result: Result) -> float | None:
        return (result["end"]["goals"][goal]["ratio"] or 0.0) if "end" in result else None

    return value


def above_plain(result: Result) -> float:
    """Return the least that a fit is above plain EM, in nats a row."""
    return min(each["likelihood"] - each["plain_likelihood"] for each in result["overlapping"])


def found(result: Result) -> float | None:
    """Return the share of fits that find the small class, at the size that is meant."""
    if result["rows"] < 20e6 or result["share"] > 1.01e-4:
        return None
    return sum(fit["with"]["found"] for fit in result["fits"]) / len(result["fits"])
