"""The sections of a configuration, version 1: names and defaults as the contract has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_serializer
from pydantic_core.core_schema import ValidationInfo

from dask_gmm.run.config.values import (
    AFew,
    AtLeastOne,
    NumberOfClasses,
    OutputPath,
    Several,
    Text,
    Texts,
    refusal,
)

#: Readings of the data that no run can do without: the survey, one step of EM, the segmentation.
FEWEST_PASSES = 3
#: Kinds of output that may be columns of the same files, where the source is a table.
MAY_SHARE = {"same", "parquet"}
#: What the file of the most probable classes' labels is called beside that of their probabilities.
TOP_LABELS = "-labels"


CovarianceType: TypeAlias = Literal["full", "tied", "diag", "spherical"]

Kind: TypeAlias = Literal[
    "zarr", "geotiff", "image", "nifti", "netcdf", "ome-zarr", "npy", "parquet"
]


Positive: TypeAlias = Annotated[float, Field(gt=0)]


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
    """Zarr, npy, NIfTI or a picture, of the leading shape, in any chunks; may hold {stem}."""
    keep: Literal["nonzero", "zero"] = "nonzero"
    """Which of its values keep a row."""


class Source(Section):
    """What is read."""

    kind: Kind = Field(examples=["zarr"])
    """The storage format."""
    path: Text | Texts = Field(examples=["data/image.zarr"])
    """A URL, or a path relative to the working directory or -C DIR; many: list, glob, folder."""
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


class FromModel(Section):
    """A start from an earlier model, from which EM goes on over all rows."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Text = Field(alias="from", examples=["runs/yesterday"])
    """A run's directory, or a model's file, of as many components of the same family."""


class Model(Section):
    """The mixture, and how it is estimated."""

    n_components: NumberOfClasses | Several[NumberOfClasses] = Field(examples=[6])
    """The number of classes, K; of a list `select` chooses one."""
    covariance_type: CovarianceType | Several[CovarianceType] = "full"
    """The family of covariances; of a list `select` chooses one."""
    n_init: AFew = 4
    """The number of starts, of which the best goes on; an earlier model is one."""
    init: Literal["kmeans", "k-means++", "random", "random_from_data"] | FromModel = "kmeans"
    """How a start is found; {from: MODEL}: where an earlier model ended."""
    tol: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    """auto: stop by the predicted gain; a number: by the change in mean log-likelihood per row."""
    max_iter: AtLeastOne = 200
    """The largest number of EM iterations."""
    reg_covar: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """Added to variances in the model frame; auto: the quantisation variance of integer data."""
    random_state: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of every random draw."""

    @property
    def reference(self) -> str | None:
        """The earlier model to start from."""
        return self.init.from_ if isinstance(self.init, FromModel) else None

    @property
    def n_starts(self) -> int:
        """How many starts there are of each kind."""
        return self.n_init if self.reference is None else 1

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


class Spatial(Section):
    """A field that makes the classes of neighbouring pixels agree."""

    strength: Annotated[float, Field(ge=0, le=100, examples=[1.0])]
    """How much more likely, as a logarithm, a class becomes by one neighbour that surely has it."""
    neighbourhood: Literal[4, 8, 6, 26] = Field(examples=[4])
    """4 or 8 in planes (the last two axes), 6 or 26 in volumes (the last three)."""
    iterations: Annotated[int, Field(ge=1, le=1000)] = 10
    """How often all pixels are updated; none hears of others that are further away in pixels."""
    spacing: (
        Literal["auto"] | Annotated[tuple[Positive, ...], Strict(False), Field(min_length=2)]
    ) = "auto"
    """Steps between pixels along these axes; auto: what the input knows of itself, or equal."""
    prior: Text | Texts | None = None
    """How probable each class is at each place, in the order of the labels: an array of the leading
    shape with the classes along a last axis, or one for each class."""


class Smoothing(Section):
    """What is done to the probabilities before anything is written."""

    spatial: Spatial
    """A field that makes the classes of neighbouring pixels agree."""


class ByBand(Section):
    """Classes numbered by a band's mean."""

    band: int | Text
    """The band, by number or name; the class with its lowest mean is number 1."""


class Aligned(Section):
    """Classes numbered as an earlier model has them."""

    align_to: Text
    """A run's directory, or a model's file."""


class Classes(Section):
    """How the classes are numbered; of the keys one is given."""

    order: Literal["weight"] | ByBand | Aligned = "weight"
    """weight: the largest class is number 1; or a mapping with one of the other keys."""
    band: int | Text | None = None
    """The band, by number or name, whose mean rises with the number of the class."""
    align_to: Text | None = None
    """The run's directory, or the model's file, whose classes these are matched with."""

    @field_validator("band", "align_to")
    @classmethod
    def _alone(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a second rule."""
        named = {name: given for name, given in info.data.items() if given not in (None, "weight")}
        if value is not None and named:
            raise refusal(f"null, as classes.{next(iter(named))} is given")
        return value

    @model_serializer
    def _as_given(self) -> dict[str, Any]:
        """Return the one key that was given."""
        if self.band is not None:
            return {"band": self.band}
        if self.align_to is not None:
            return {"align_to": self.align_to}
        return {"order": self.order if self.order == "weight" else self.order.model_dump()}

    @property
    def by_band(self) -> int | str | None:
        """The band that numbers the classes."""
        return self.order.band if isinstance(self.order, ByBand) else self.band

    @property
    def reference(self) -> str | None:
        """The earlier model that numbers the classes."""
        return self.order.align_to if isinstance(self.order, Aligned) else self.align_to


class Output(Section):
    """One array that is written."""

    kind: Kind | Literal["same"] = "same"
    """The storage format; same: as the source."""
    path: OutputPath = Field(examples=["NAME.zarr"])
    """Where it is written, inside run_dir; outputs of a table may share one set of files."""


class Probabilities(Output):
    """The probabilities of all classes, the class axis last."""

    dtype: Literal["float32", "uint8"] = "float32"
    """The number format; uint8: 0 to 254 for 0 to 1, and 255 where masked."""
    top: AtLeastOne | None = None
    """Write only the m most probable classes, and beside them their labels; null: all."""


def beside(path: str, word: str) -> str:
    """Return the path of what stands beside something: its name, and a word before the suffix."""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.partition(".")
    return f"{folder}{slash}{stem}{word}{dot}{suffix}"


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

    @property
    def top(self) -> int | None:
        """How many probabilities of a row are written; None: all of them, or none."""
        return None if self.probabilities is None else self.probabilities.top

    @property
    def quantised(self) -> bool:
        """Whether probabilities are written as bytes."""
        return self.probabilities is not None and self.probabilities.dtype == "uint8"

    def written(self) -> dict[str, Output]:
        """Return the outputs that the section names, by name, in the contract's order."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: output for name, output in named.items() if isinstance(output, Output)}
