"""Test-time views of images: what stacks, learners and combinations say of an image, its mirror image and shifted crops.

A view of the test images is treated like a split of its own: everything that is said of the plain images is said of it, and
the probabilities of the first n views are averaged.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import softmax

from vision_studies.augmentation.views import views_of
from vision_studies.data.loaders import Batch, Loader, augmentation_generator
from vision_studies.pipelines.stacking.outputs import SplitOutputs
from vision_studies.pipelines.stacking.settings import ViewSettings


class ViewLoader(Loader):
    """Batches of a loader without augmentation, in one view: 0 is the plain image, 1 its mirror image, others are crops.

    The shifts of crops depend on the seed and on the number of the batch alone, so that networks that are asked one after the
    other see the same.
    """

    def __init__(self, loader: Loader, view: int, settings: ViewSettings) -> None:
        self.num_samples, self.batch_size, self.share = loader.num_samples, loader.batch_size, loader.share
        self._loader, self._view, self._settings = loader, view, settings
        self._drop_last = False

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch, with the images of the view."""
        for number, batch in enumerate(self._loader.epoch(epoch)):
            generator = augmentation_generator(self._settings.seed, 0, number)
            *_, images = views_of(batch.images, self._view + 1, self._settings.padding, generator)
            yield batch._replace(images=images)


def view_name(view: int) -> str:
    """What the outputs for a view of the test images are called, where others are called after their split."""
    return f"test_view_{view}" if view else "test"


def view_metrics(views: Sequence[SplitOutputs], numbers: Sequence[int]) -> dict[str, float]:
    """Test accuracies with views: of what decides, `test_accuracy_views_<n>`, and of each base learner.

    Args:
        views: outputs for the plain images and for each further view.
    """
    metrics: dict[str, float] = {}
    total = np.zeros_like(views[0].logits, dtype=np.float64)
    for number, outputs in enumerate(views, start=1):
        total += softmax(outputs.logits.astype(np.float64), axis=2)
        if number in numbers:
            right = (total.argmax(axis=2) == outputs.labels[:, None]).mean(axis=0)
            metrics[f"test_accuracy_views_{number}"] = float(right[-1])
            metrics |= {
                f"test_accuracy_base_{learner}_views_{number}": float(value)
                for learner, value in enumerate(right[:-1], start=1)
            }
    return metrics
