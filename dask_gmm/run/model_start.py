"""Starting where an earlier model ended: ``model.init: {from: MODEL}``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dask_gmm.errors import ConfigurationError
from dask_gmm.mixture.parameters import Parameters
from dask_gmm.model_file import Model
from dask_gmm.run.numbering import located_model, require_features

if TYPE_CHECKING:
    from dask_gmm.data.sources import Source
    from dask_gmm.run.config import Config


def configured_start(config: Config, source: Source) -> Parameters | None:
    """Return the mixture that ``model.init`` names, in original units; None where it names none.

    Raises
    ------
    ConfigurationError
        If it is one of other features, another family or another number of components.
    InputDataError
        If it cannot be read.
    """
    path = config.model.reference
    if path is None:
        return None
    model = Model.load(located_model(config, path))
    whose = f"model.init: {path}"
    require_features(model, source, whose)
    K, kind = model.parameters.K, model.covariance_type
    if config.model.kinds != ((kind, K),):
        raise ConfigurationError(
            f"{whose} is a model of {K} components with {kind} covariances, and a start from it is "
            f"one, too; set model.n_components: {K} and model.covariance_type: {kind}"
        )
    return model.parameters
