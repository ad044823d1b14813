"""Image sets in the catalog."""

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kedro_datasets._typing import JSONPreview

from vision_studies.catalog.previews import NO_JSON
from vision_studies.catalog.shared_versions import PlainPath
from vision_studies.errors import DataError

if TYPE_CHECKING:
    from vision_studies.data.image_set import ImageSet

logger = logging.getLogger(__name__)


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
            raise DataError(f"There is no image set in {self._path}; run `kedro run --pipeline=data_prep` first.")
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
