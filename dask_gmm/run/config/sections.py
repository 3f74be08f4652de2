"""The sections of a configuration, version 1: names and defaults as the contract has them.

The types say what this version can do. What the contract names beyond it stands in
`not_yet`, whose refusals come before these types are consulted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator
from pydantic_core.core_schema import ValidationInfo

from dask_gmm.run.config.values import AtLeastOne, OutputPath, Several, Text, Texts, refusal

#: Readings of the data that no run can do without: the survey, one step of EM, the segmentation.
FEWEST_PASSES = 3
#: Kinds of output that may be columns of the same files, where the source is a table.
MAY_SHARE = {"same", "parquet"}


CovarianceType: TypeAlias = Literal["full", "tied", "diag", "spherical"]

Kind: TypeAlias = Literal[
    "zarr", "geotiff", "image", "nifti", "netcdf", "ome-zarr", "npy", "parquet"
]


class Section(BaseModel):
    """A frozen mapping of known keys, whose values are never coerced ('6' is not 6, true not 1)."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Mask(Section):
    """An array that says which rows to keep."""

    path: Text = Field(examples=["data/mask.zarr"])
    """Where it lies: Zarr, npy, TIFF or PNG, of the source's leading shape, in any chunks."""
    keep: Literal["nonzero", "zero"] = "nonzero"
    """Which of its values keep a row."""


class Source(Section):
    """What is read."""

    kind: Kind = Field(examples=["zarr"])
    """The storage format."""
    path: Text | Texts = Field(examples=["data/image.zarr"])
    """A URL, or a path relative to the working directory or -C DIR; a table also: glob, list."""
    variable: Text | None = None
    """The array inside a group or a NetCDF file; of OME-Zarr the level, 0 or null: the finest."""
    feature_axis: int | Text | None = -1
    """The axis of the features, by number or name; null: one feature, every axis is a row axis.
    OME-Zarr's default is its channels, NIfTI's a fourth axis."""
    columns: Annotated[tuple[int | Text, ...], Strict(False), Field(min_length=1)] | None = None
    """Features by number or name; of a Zarr group or NetCDF file, its arrays; null: all (but a
    table's weights)."""
    weights: Text | None = None
    """Row weights: the column of a table, or where an array of the leading shape lies."""
    mask: Mask | None = None
    """Which rows to keep."""
    nodata: (
        Literal["auto"]
        | float
        | Annotated[tuple[float, ...], Strict(False), Field(min_length=1)]
        | None
    ) = "auto"
    """What stands for no data, in any feature of a row; auto: what the source declares."""
    on_invalid: Literal["mask", "error"] = "mask"
    """What to do about rows with NaN or infinity: leave them out, or stop."""
    missing_chunks: Literal["error", "fill"] = "error"
    """What to do about chunks or tiles never written: stop, or read the fill value."""
    storage_options: dict[str, Any] = Field(default={}, repr=False)
    """Options and credentials of a remote store; never shown, never hashed."""


class Model(Section):
    """The mixture, and how it is estimated."""

    n_components: AtLeastOne | Several[AtLeastOne] = Field(examples=[6])
    """The number of classes, K; of a list `select` chooses one."""
    covariance_type: CovarianceType | Several[CovarianceType] = "full"
    """The family of covariances; of a list `select` chooses one."""
    n_init: AtLeastOne = 4
    """The number of starts, of which the best goes on."""
    init: Literal["kmeans", "k-means++", "random", "random_from_data"] = "kmeans"
    """How a start is found."""
    tol: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    """auto: stop by the predicted gain; a number: by the change in mean log-likelihood per row."""
    max_iter: AtLeastOne = 200
    """The largest number of EM iterations."""
    reg_covar: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """Added to variances in the model frame; auto: the quantisation variance of integer data."""
    random_state: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of every random draw."""

    @property
    def kinds(self) -> tuple[tuple[str, int], ...]:
        """The families and numbers of components that are to be fitted."""
        families, sizes = self.covariance_type, self.n_components
        return tuple(
            (name, K)
            for name in (families if isinstance(families, tuple) else (families,))
            for K in (sizes if isinstance(sizes, tuple) else (sizes,))
        )


class Fit(Section):
    """How the passes over the data are spent."""

    sample_rows: Literal["auto"] | AtLeastOne = "auto"
    """The size of the sample on which the starts run."""
    acceleration: Literal["auto", "none"] = "auto"
    """Whether EM steps may be extrapolated."""
    compress: Literal["auto", "never"] = "auto"
    """Whether repeated rows may be counted once."""
    halving: bool = True
    """Whether the worse of several candidates are dropped on the way."""
    max_passes: Annotated[int, Field(ge=FEWEST_PASSES, lt=2**63)] | None = None
    """The largest number of readings of the data: the survey, EM and the segmentation."""


class Select(Section):
    """How one of several candidates is chosen."""

    criterion: Literal["bic", "aic", "icl", "heldout"] = "bic"
    """What is compared, where the model's keys name several candidates."""


class Classes(Section):
    """How the classes are numbered."""

    order: Literal["weight"] = "weight"
    """weight: the largest class is number 1."""


class Output(Section):
    """One array that is written."""

    kind: Kind | Literal["same"] = "same"
    """The storage format; same: as the source."""
    path: OutputPath = Field(examples=["NAME.zarr"])
    """Where it is written, inside run_dir; outputs of a table may share one set of files."""


class Probabilities(Output):
    """The probabilities of all classes, the class axis last."""

    dtype: Literal["float32"] = "float32"
    """The number format."""
    top: None = None
    """Write only the m most probable classes."""


def apart_from(name: str) -> str:
    """Say what is allowed where an output would lie where another does."""
    return f"a path apart from that of outputs.{name}"


class Outputs(Section):
    """What is written beside the model; an output that is absent or null is not."""

    labels: Output | None = None
    """The class of every row, 1..K; 0 = masked."""
    probabilities: Probabilities | None = None
    """The probability of every class."""
    uncertainty: Output | None = None
    """Entropy / log K."""
    log_density: Output | None = None
    """The logarithm of the mixture's density."""
    keep: Annotated[tuple[Text, ...], Strict(False)] = ()
    """Columns carried through from a table, into every set of files."""

    @field_validator("labels", "probabilities", "uncertainty", "log_density")
    @classmethod
    def _lies_apart(cls, output: Output | None, info: ValidationInfo) -> Output | None:
        """Refuse an output that is, holds, or lies within one named before it (in any case)."""
        for name, other in info.data.items():
            if output is not None and isinstance(other, Output):
                pair = [spec.path.casefold().split("/") for spec in (output, other)]
                shared = output.path == other.path and {output.kind, other.kind} <= MAY_SHARE
                if not shared and all(a == b for a, b in zip(*pair, strict=False)):
                    raise refusal(apart_from(name), "path")
        return output

    def written(self) -> dict[str, Output]:
        """Return the outputs that are to be written, by name, in the contract's order."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: output for name, output in named.items() if isinstance(output, Output)}
