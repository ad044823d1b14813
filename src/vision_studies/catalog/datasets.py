"""The project's own data sets in the catalog: checkpoints, FFCV's files, working folders, image sets, partitions, results."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from kedro.io import AbstractDataset, AbstractVersionedDataset, CatalogProtocol, DatasetError, Version
from kedro_datasets._typing import HTMLPreview, JSONPreview, TablePreview
from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset

from vision_studies.catalog.previews import NO_JSON, NO_TABLE, partitions_preview, table_preview
from vision_studies.errors import DataError
from vision_studies.files import atomic_folder
from vision_studies.versions import Versions

if TYPE_CHECKING:
    import pandas as pd

    from vision_studies.data.image_set import ImageSet

logger = logging.getLogger(__name__)

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")

BetonSource = Path | Callable[[Path], None]
"""A finished file, or a function that writes one to the path it is given."""


class SharedVersions:
    """Mixed into datasets that save atomically: with a version, the newest lies at the data set's path, all of them beside it.

    Two processes that begin in the same millisecond have one version: both may save it, for both save the same. And a
    process goes on with the version that it has saved itself, though another one may have saved a later one.
    """

    _temporary: Path | None = None
    """Where a save at work writes."""

    @property
    def versions(self: Any) -> Versions:
        """What is kept of the data set."""
        return Versions.of_file(Path(self._filepath))

    @contextmanager
    def _saving(self: Any) -> Iterator[Path]:
        """Yield where to write; when the block ends, it is the newest version, and also what is loaded from now on, unless a
        version to load was asked for.
        """
        version, versions = self.resolve_save_version(), self.versions
        with versions.save(version) as folder:
            self._temporary = folder / versions.patterns[0] if versions.is_file else folder
            try:
                yield self._temporary
            finally:
                self._temporary = None
        self._cached_load_version = version

    def _get_versioned_path(self, version: str) -> PurePosixPath:
        super()._get_versioned_path(version)  # type: ignore[misc] # refuses what can be no version
        return PurePosixPath(self.versions.path(version))

    def _get_load_path(self: Any) -> PurePosixPath:
        asked, saved, versions = self._version and self._version.load, self._cached_load_version, self.versions
        if asked:
            return PurePosixPath(versions.find(asked))
        earlier = saved in versions.names() and not versions.is_newest(saved)
        return PurePosixPath(versions.path(saved) if earlier else versions.newest())


class VersionedPath(AbstractVersionedDataset[Saved, Loaded]):
    """A file or folder with versions, whose reading and writing subclasses say."""

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        """Point at the file or the folder; `version` is to be loaded or saved."""
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, exists_function=os.path.exists, glob_function=_glob
        )
        self.metadata = metadata

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


class PlainPath(AbstractDataset[Saved, Loaded]):
    """A file or folder without versions, whose reading and writing subclasses say."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Point at the file or the folder; `metadata` is for Kedro's plugins."""
        self._path = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


def _glob(pattern: str) -> list[str]:
    return [str(path) for path in Path("/").glob(pattern.lstrip("/"))]


class CheckpointDataset(SharedVersions, VersionedPath[dict[str, Any], dict[str, Any]]):
    """A nested state of tensors and JSON values in one safetensors file; never a pickle."""

    def load(self) -> dict[str, Any]:
        """Read the state. Raises CheckpointError where the file is damaged."""
        from vision_studies.training.checkpoints import load_state

        return load_state(Path(self._get_load_path()))

    def save(self, data: dict[str, Any]) -> None:
        """Write the state, atomically."""
        from vision_studies.training.checkpoints import save_state

        with self._saving() as file:
            save_state(file, data)

    def preview(self) -> JSONPreview:
        """All of the state but its weights; of other tensors, their shapes."""
        if not self._exists():
            return NO_JSON
        state = {key: value for key, value in self.load().items() if key != "weights"}
        return JSONPreview(json.dumps(state, default=lambda tensor: f"tensor of shape {list(tensor.shape)}"))


class FfcvFilesDataset(VersionedPath[Mapping[str, BetonSource], dict[str, Path]]):
    """A versioned folder of `.beton` files, which lie in Kedro's own layout alone: they are too large to lie twice.

    A file that an earlier version holds is linked, not written again.
    """

    def __init__(self, *, missing_ok: bool = False, **options: Any) -> None:
        """Point at the folder whose versions hold the files; `missing_ok`: without a version, load an empty mapping instead of
        failing.
        """
        super().__init__(**options)
        self._missing_ok = missing_ok

    def load(self) -> dict[str, Path]:
        """Name without suffix -> path of the file."""
        try:
            folder = Path(self._get_load_path())
        except DatasetError as error:
            if self._missing_ok:
                return {}
            raise DataError(
                f"There are no FFCV files in {self._filepath} yet; run `kedro run --pipeline=data_prep` with the study's --env "
                "first."
            ) from error
        return {file.stem: file for file in sorted(folder.glob("*.beton"))}

    def save(self, data: Mapping[str, BetonSource]) -> None:
        """Write or link the files into a new version; an empty mapping makes an empty version."""
        self._cached_load_version = self.resolve_save_version()  # another process may save a later one
        with atomic_folder(Path(self._get_versioned_path(str(self._cached_load_version)))) as folder:
            for name, source in data.items():
                write = partial(_link, source) if isinstance(source, Path) else source
                write(folder / f"{name}.beton")

    def preview(self) -> JSONPreview:
        """Files and their sizes."""
        if not self._exists():
            return NO_JSON
        return JSONPreview(json.dumps({file.name: file.stat().st_size for file in self.load().values()}))

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"missing_ok": self._missing_ok}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


class FolderDataset(PlainPath[NoReturn, Path]):
    """Path of a folder in which a node works, or which it searches; created when it is loaded.

    Long work writes here as it goes (checkpoints, finished runs), so that nothing is lost when it is stopped.
    """

    def load(self) -> Path:
        """The folder, created where it is not there yet."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: NoReturn) -> NoReturn:  # noqa: ARG002
        """Refuse with a DatasetError: what lies in a working folder is written by the node that works in it."""
        raise DatasetError(f"{self._path} is a working folder: nodes write into it themselves.")

    def preview(self, number: int = 20) -> JSONPreview:
        """How many folders and files lie there, and the names of the first ones."""
        if not self._exists():
            return NO_JSON
        entries = sorted(entry for entry in self._path.iterdir() if not entry.name.startswith("."))
        folders = sum(entry.is_dir() for entry in entries)
        names = [entry.name for entry in entries[:number]]
        return JSONPreview(json.dumps({"folders": folders, "files": len(entries) - folders, "first": names}))


class ImageSetDataset(PlainPath["ImageSet", "ImageSet | None"]):
    """A folder that holds an `ImageSet`; images are memory-mapped, so that processes share them."""

    def __init__(self, *, missing_ok: bool = False, **options: Any) -> None:
        """Point at the folder of an image set; `missing_ok`: where none can be read yet, load None instead of failing."""
        super().__init__(**options)
        self._missing_ok = missing_ok

    def load(self) -> "ImageSet | None":
        """Open the image set. Raises DataError where there is none, or it is damaged, unless `missing_ok`."""
        from vision_studies.data.image_set import ImageSet

        if not self._exists():
            if self._missing_ok:
                return None
            raise DataError(
                f"There is no image set in {self._path}; run `kedro run --pipeline=data_prep` with the study's --env first."
            )
        try:
            return ImageSet.open(self._path)
        except DataError as error:
            if not self._missing_ok:
                raise
            logger.warning("The stored image set is made again: %s", error)
            return None

    def save(self, data: "ImageSet") -> None:
        """Write the image set, unless the very same is already there."""
        from vision_studies.data.image_set import ImageSet

        if self._exists():
            with suppress(DataError):  # damaged: replaced below
                stored = ImageSet.open(self._path)
                if (stored.fingerprint, stored.origin) == (data.fingerprint, data.origin):
                    return
        data.save(self._path)

    def preview(self) -> JSONPreview:
        """Name, number and size of the images, and how many there are of each class."""
        if not self._exists():
            return NO_JSON
        import numpy as np

        from vision_studies.data.image_set import ImageSet

        image_set = ImageSet.open(self._path)
        images, height, width, channels = image_set.images.shape
        of_class = np.bincount(image_set.labels, minlength=len(image_set.class_names))
        summary = {
            "name": image_set.name,
            "images": images,
            "own_test_images": int(image_set.is_test.sum()),
            "size": [height, width, channels],
            "classes": dict(zip(image_set.class_names, of_class.tolist(), strict=True)),
            "fingerprint": image_set.fingerprint,
        }
        return JSONPreview(json.dumps(summary))

    def _exists(self) -> bool:
        return (self._path / "image_set.json").is_file()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"missing_ok": self._missing_ok}


class PartitionedDataset(SharedVersions, AbstractVersionedDataset[Any, Any], KedroPartitionedDataset):
    """Kedro's partitions, all of which are one version; a folder without any loads as an empty dictionary, as it was saved.

    What is saved takes the place of all that was there.
    """

    def __init__(
        self, *, path: str, version: Version | None = None, missing_ok: bool = True, adds: bool = False, **options: Any
    ) -> None:
        """Point at the folder.

        Args:
            path: of the folder.
            version: to be loaded or saved.
            missing_ok: without a partition, load an empty dictionary instead of failing.
            adds: leave partitions that are not among those that are saved.
            options: of Kedro's data set.
        """
        AbstractVersionedDataset.__init__(self, filepath=PurePosixPath(path), version=version)
        KedroPartitionedDataset.__init__(self, path=path, **options)
        self._missing_ok, self._adds = missing_ok, adds

    @property
    def versions(self) -> Versions:
        """What is kept of all partitions together."""
        return Versions.of_files(Path(self._path), self._filename_suffix)

    def load(self) -> dict[str, Any]:
        """Name -> function that loads the partition. Raises DatasetError where there is none, unless `missing_ok`."""
        self._invalidate_caches()
        return KedroPartitionedDataset.load(self) if self._list_partitions() or not self._missing_ok else {}

    def save(self, data: dict[str, Any]) -> None:
        """Write all partitions, then let them take the place of those that are there; with `adds`, write one by one."""
        with nullcontext() if self._adds else self._saving():
            KedroPartitionedDataset.save.__wrapped__(self, data)

    def preview(self, number: int = 6) -> HTMLPreview:
        """The first partitions, and the names of the others."""
        markdown = self._filename_suffix == ".md"
        return partitions_preview(self.load() if self._exists() else {}, number, markdown=markdown)

    @property
    def _normalized_path(self) -> str:
        return str(self._temporary or self._get_load_path())


class ResultsTableDataset(SharedVersions, VersionedPath["pd.DataFrame", "pd.DataFrame"]):
    """One results table as Parquet, and the same rows as JSON beside it.

    It has the rows that the present parameters ask for, and no other: runs of earlier questions stay in their folders alone.
    """

    @property
    def versions(self) -> Versions:
        """What is kept of both files."""
        file = Path(self._filepath)
        return Versions.of_file(file, f"{file.stem}.json")

    def load(self) -> "pd.DataFrame":
        """Read the table. Raises DataError where it is damaged or of another schema."""
        from vision_studies.studies.results import read_results

        return read_results(Path(self._get_load_path()))

    def save(self, data: "pd.DataFrame") -> None:
        """Write the table in the place of the stored one. Raises DataError where it does not fit the schema."""
        from vision_studies.studies.results import in_order, validate_results, write_results

        table = in_order(validate_results(data))
        with self._saving() as file:
            write_results(table, file)
            table.to_json(file.with_suffix(".json"), orient="records", indent=2)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, without the long columns."""
        if not self._exists():
            return NO_TABLE
        columns = ["variant", "seed", "validation_accuracy", "test_accuracy", "parameters", "seconds", "status"]
        return table_preview(self.load()[columns].head(nrows))


def versions_in(catalog: CatalogProtocol, names: Iterable[str]) -> dict[str, Versions]:
    """Versions of those of the named data sets that are versioned, by name."""
    datasets = {name: catalog.get(name) for name in sorted(names) if not name.startswith("params:")}
    return {
        name: dataset.versions
        for name, dataset in datasets.items()
        if isinstance(dataset, SharedVersions) and getattr(dataset, "_version", None) is not None
    }
