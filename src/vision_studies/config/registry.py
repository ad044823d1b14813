"""Which settings model reads which top-level parameter. The models are imported only when they are needed."""

from importlib import import_module

from pydantic import BaseModel

METHODS = {
    "choose": "vision_studies.pipelines.choose.settings:ChooseSettings",
    "cifar_resnet": "vision_studies.pipelines.cifar_resnet.settings:CifarResnetSettings",
    "stacking": "vision_studies.pipelines.stacking.settings:StackingSettings",
    "transfer_cuts": "vision_studies.pipelines.transfer_cuts.settings:TransferCutsSettings",
    "clustering": "vision_studies.pipelines.clustering.settings:ClusteringSettings",
    "mlp_transfer": "vision_studies.pipelines.mlp_transfer.settings:MlpTransferSettings",
    "alphanet": "vision_studies.pipelines.alphanet.settings:AlphanetSettings",
}
"""Pipelines that train, in the order of reports -> module and class of their settings model.

The method itself is `METHOD` of `vision_studies.pipelines.<name>.method`.
"""

MODELS = {
    "data_prep": "vision_studies.config.data_prep:DataPrepSettings",
    **METHODS,
    "reporting": "vision_studies.config.study:ReportingSettings",
    "execution": "vision_studies.config.study:ExecutionSettings",
    "versions": "vision_studies.config.study:VersionSettings",
    "storage": "vision_studies.config.storage:StorageSettings",
    "tracking": "vision_studies.config.tracking:TrackingSettings",
    "study": "vision_studies.config.study:StudySettings",
}
"""Top-level parameter -> module and class of its settings model."""

SCALARS: dict[str, type] = {"fresh": bool}
"""Top-level parameters that are single values."""

SUPPLIED = ("study",)
"""Top-level parameters that the project fills in and nobody may set."""


def settings_model(key: str) -> type[BaseModel]:
    """The settings model of a top-level parameter.

    Raises:
        KeyError: `key` has none.
    """
    module, name = MODELS[key].split(":")
    return getattr(import_module(module), name)
