import pytest
from pydantic import ValidationError

from vision_studies.config.merge import merge_settings
from vision_studies.pipelines.clustering.settings import (
    AgglomerativeSettings,
    ClusteringSettings,
    KMeansChannelsSettings,
)

KMEANS = {"name": "kmeans_channels", "restarts": 10, "pca": None, "max_samples": 500, "seed": 42}
VECTORS = {"name": "kmeans_vectors", "restarts": 10, "max_samples": None, "seed": 42}
AGGLOMERATIVE = {"name": "agglomerative", "linkage": "average", "metric": "cosine", "max_samples": None}
FULL = {
    "methods": [KMEANS, AGGLOMERATIVE, VECTORS],
    "classes": ["pretraining", "fine_tuning"],
    "split": "test",
    "distances": {"samples": 1000, "seed": 42},
    "tsne": {"layers": ["conv2", "conv5"], "samples": 1000, "perplexity": 30.0, "seed": 42},
}


def settings(changes):
    return ClusteringSettings.model_validate(merge_settings(FULL, changes))


def test_methods_are_told_apart_by_their_names():
    own = settings({})
    assert [type(method) for method in own.methods][:2] == [KMeansChannelsSettings, AgglomerativeSettings]
    assert [method.name for method in own.methods] == ["kmeans_channels", "agglomerative", "kmeans_vectors"]
    assert ClusteringSettings.model_validate(own.model_dump(mode="json")) == own
    bare = settings({"tsne": None, "methods": [KMEANS | {"pca": 50, "max_samples": None}]})
    assert bare.tsne is None
    assert bare.methods[0].max_samples is None
    assert bare.methods[0].pca == 50


@pytest.mark.parametrize("key", FULL)
def test_no_value_has_a_default(key):
    with pytest.raises(ValidationError, match="Field required"):
        ClusteringSettings.model_validate({name: value for name, value in FULL.items() if name != key})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "at least 1 item"),
        ({"methods": [KMEANS, AGGLOMERATIVE, KMEANS]}, "methods has kmeans_channels twice; every entry counts once"),
        ({"classes": ["fine_tuning"] * 2}, "classes has fine_tuning twice; every entry counts once"),
        ({"classes": []}, "at least 1 item"),
        ({"tsne": {"layers": ["conv2", "conv2"]}}, "tsne.layers has conv2 twice; every entry counts once"),
        ({"tsne": {"perplexity": 0}}, "greater than 0"),
        ({"tsne": {"samples": 3}}, "greater than or equal to 4"),
        ({"methods": [KMEANS | {"max_samples": 1}]}, "greater than or equal to 2"),
        ({"split": "validation"}, "'train' or 'test'"),
        ({"methods": [{"name": "dbscan"}]}, "'kmeans_channels', 'kmeans_vectors', 'agglomerative'"),
        ({"methods": [AGGLOMERATIVE | {"linkage": "ward"}]}, "'average', 'complete' or 'single'"),
        ({"methods": [AGGLOMERATIVE | {"metric": "l1"}]}, "'cosine' or 'euclidean'"),
        ({"methods": [AGGLOMERATIVE | {"restarts": 3}]}, "Extra inputs are not permitted"),
        ({"methods": [KMEANS | {"pca": 0}]}, "greater than or equal to 1"),
        ({"methods": [KMEANS | {"seed": 2**32}]}, "less than or equal to 4294967295"),
    ],
)
def test_unfit_values_are_refused(changes, message):
    with pytest.raises(ValidationError) as error:
        settings(changes)
    assert message in str(error.value)
