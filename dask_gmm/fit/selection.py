"""Which of several fitted mixtures to keep, and what a careful reader should know of the choice.

AIC (H. Akaike, IEEE Trans. Automatic Control 19, 1974), BIC (G. Schwarz, Ann. Statist. 6, 1978) and
ICL (C. Biernacki, G. Celeux, G. Govaert, IEEE Trans. PAMI 22, 2000; on the scale of BIC): the lower
the better. Held-out: mean log-likelihood of rows that a fit has not seen: the higher the better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dask_gmm.mixture.families import family

#: Differences of BIC below this are "not worth more than a bare mention": R. E. Kass,
#: A. E. Raftery, J. Amer. Statist. Assoc. 90, 1995.
BARE_MENTION = 2.0


@dataclass(frozen=True)
class Assessed:
    """What is known of one fitted mixture when it is compared with others.

    Attributes
    ----------
    covariance_type, n_components, n_features
        The mixture's family, K and D.
    log_likelihood, entropy, weight : float
        Sums over all rows, in nats; and how many rows there are.
    heldout : float or None
        Mean log-likelihood (nats per row) of rows outside the sample, under the fit to the sample.
    smallest : float
        Rows of the smallest component.
    n_narrow : int
        Components as narrow as their floor.
    converged : bool
    """

    covariance_type: str
    n_components: int
    n_features: int
    log_likelihood: float
    entropy: float
    weight: float
    heldout: float | None
    smallest: float
    n_narrow: int
    converged: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"K={self.n_components} {self.covariance_type}"

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return family(self.covariance_type).n_parameters(self.n_components, self.n_features)

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Bayesian information criterion."""
        return -2.0 * self.log_likelihood + self.n_parameters * float(np.log(self.weight))

    @property
    def icl(self) -> float:
        """Integrated completed likelihood."""
        return self.bic + 2.0 * self.entropy

    @property
    def objection(self) -> str | None:
        """Why it must not be chosen, in words; None where nothing speaks against it."""
        if self.n_narrow:
            several = self.n_narrow > 1
            return (
                f"{self.n_narrow} component{'s are' if several else ' is'} as narrow as the floor: "
                "the criterion measures the floor with it"
            )
        own = family(self.covariance_type).n_parameters(1, self.n_features)
        if self.n_components > 1 and self.smallest <= own:
            return (
                f"its smallest component holds {self.smallest:.3g} rows, no more than the "
                f"{own} numbers that describe it"
            )
        return None


#: Each criterion as a number of which the lowest wins.
CRITERIA: dict[str, Callable[[Assessed], float]] = {
    "bic": lambda each: each.bic,
    "aic": lambda each: each.aic,
    "icl": lambda each: each.icl,
    "heldout": lambda each: np.inf if each.heldout is None else -each.heldout,
}


@dataclass(frozen=True)
class Choice:
    """Which mixture is chosen.

    Attributes
    ----------
    best : int
        Its place among those assessed.
    remarks : tuple of str
        What a careful reader should know: objections, ties, ends of the range.
    """

    best: int
    remarks: tuple[str, ...]


def choose(assessed: Sequence[Assessed], criterion: str) -> Choice:
    """Choose the mixture with the best criterion among those that nothing speaks against.

    Of equals the one with fewer parameters is chosen. Where something speaks against all of them,
    all compete, and that is said.
    """
    value = CRITERIA[criterion]
    sound = [i for i, each in enumerate(assessed) if each.objection is None]
    remarks = [
        f"{each.name} is not chosen: {each.objection}"
        for each in assessed
        if each.objection is not None and sound
    ]
    if not sound:
        remarks.append(
            "Something speaks against every candidate, so the criterion alone decides: "
            + "; ".join(f"{each.name}: {each.objection}" for each in assessed)
        )
    among = sound or range(len(assessed))
    best = min(among, key=lambda i: (value(assessed[i]), assessed[i].n_parameters))
    winner = assessed[best]
    if criterion != "heldout":
        ties = [
            assessed[i].name
            for i in among
            if i != best and value(assessed[i]) - value(winner) < BARE_MENTION
        ]
        if ties:
            remarks.append(
                f"As good as {winner.name}, by this criterion: {', '.join(ties)}; "
                f"differences in {criterion.upper()} are below {BARE_MENTION:g}"
            )
    sizes = sorted({each.n_components for each in assessed})
    if len(sizes) > 1 and winner.n_components == sizes[-1]:
        remarks.append(f"{winner.name} is the largest K that was tried: a larger one may be better")
    return Choice(best, tuple(remarks))
