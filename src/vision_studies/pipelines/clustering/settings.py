"""Parameters of the clustering of a network's activations."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vision_studies.settings_base import Settings, refuse_repeated

LARGEST_SEED = 2**32 - 1  # of numpy's older generator, which scikit-learn uses


class KMeansChannelsSettings(Settings):
    """K-means of each channel's maps: one clustering a channel."""

    name: Literal["kmeans_channels"] = Field(description="K-means of each channel's maps")
    restarts: int = Field(ge=1, description="fits from new first centres, the best of which counts")
    pca: int | None = Field(
        ge=1,
        description="principal components that maps are reduced to, fewer where fewer can be had; null: whole maps",
    )
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of the first centres")


class KMeansVectorsSettings(Settings):
    """K-means of a layer's vectors of channel means: one clustering a layer."""

    name: Literal["kmeans_vectors"] = Field(description="K-means of vectors of channel means")
    restarts: int = Field(ge=1, description="fits from new first centres, the best of which counts")
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of the first centres")


class AgglomerativeSettings(Settings):
    """Agglomerative clustering of a layer's vectors of channel means: one clustering a layer."""

    name: Literal["agglomerative"] = Field(description="agglomerative clustering of vectors of channel means")
    linkage: Literal["average", "complete", "single"] = Field(description="what the distance of two clusters is")
    metric: Literal["cosine", "euclidean"] = Field(
        description="what the distance of two vectors is; vectors of zeros have no cosine and are left out"
    )
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")


class SpectralSettings(Settings):
    """Spectral clustering of a layer's vectors of channel means: one clustering a layer."""

    name: Literal["spectral"] = Field(description="spectral clustering of vectors of channel means")
    neighbours: int = Field(ge=1, description="nearest images that an image is joined to; fewer where there are fewer")
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of the eigenvectors' first guess")


class GaussianMixtureSettings(Settings):
    """A mixture of normal distributions of one covariance of a layer's vectors of channel means: one clustering a layer."""

    name: Literal["gaussian_mixture"] = Field(
        description="normal distributions with one covariance, of vectors of channel means"
    )
    restarts: int = Field(ge=1, description="fits from new first clusters, the best of which counts")
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of the first clusters")


class HdbscanSettings(Settings):
    """Clusters of any number where images lie densely, of a layer's vectors of channel means: one clustering a layer."""

    name: Literal["hdbscan"] = Field(
        description="dense regions of vectors of channel means, as many as there are; images in none are a cluster together"
    )
    smallest: int = Field(ge=2, description="images of a cluster at least")
    max_samples: int | None = Field(ge=2, description="images of a subset that are clustered at most; null: all")


MethodSettings = Annotated[
    KMeansChannelsSettings
    | KMeansVectorsSettings
    | AgglomerativeSettings
    | SpectralSettings
    | GaussianMixtureSettings
    | HdbscanSettings,
    Field(discriminator="name"),
]


class TsneSettings(Settings):
    """Which layers are shown as a map of their images by t-SNE."""

    layers: tuple[str, ...] = Field(min_length=1, description="layers, a figure each")
    samples: int = Field(ge=4, description="images in a figure")
    perplexity: float = Field(gt=0, description="neighbours that an image is kept near to; less where images are few")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of the choice of images and of t-SNE")

    @model_validator(mode="after")
    def _layers_are_a_set(self) -> "TsneSettings":
        refuse_repeated({"tsne.layers": self.layers})
        return self


class DistanceSettings(Settings):
    """Of how many images distances within and between classes are measured."""

    samples: int = Field(ge=2, description="images of each set of classes")
    seed: int = Field(ge=0, le=LARGEST_SEED, description="seed of their choice")


class ClusteringSettings(Settings):
    """How activations are clustered, and of which images."""

    methods: tuple[MethodSettings, ...] = Field(
        min_length=1, description="ways of clustering, each applied to all layers"
    )
    classes: tuple[Literal["pretraining", "fine_tuning"], ...] = Field(
        min_length=1, description="classes whose images are clustered"
    )
    split: Literal["train", "test"] = Field(description="images that subsets are drawn from")
    distances: DistanceSettings = Field(description="cosine distances within and between classes, layer by layer")
    tsne: TsneSettings | None = Field(description="layers that are shown as maps of their images; null: none")

    @model_validator(mode="after")
    def _lists_are_sets(self) -> "ClusteringSettings":
        refuse_repeated({"methods": [method.name for method in self.methods], "classes": self.classes})
        return self
