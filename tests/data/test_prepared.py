import numpy as np
import torch

from vision_studies.data.prepared import PreparedData, image_tensor
from vision_studies.data.splits import Splits

CPU = torch.device("cpu")


def test_kept_images_are_divided_by_255_or_normalised_by_the_training_images(image_set):
    splits = Splits(np.arange(30), np.arange(30, 40), np.arange(40, 60))
    data, chosen = PreparedData(image_set, splits, {}), np.array([41, 3, 17])
    plain, labels = image_tensor(data, chosen, normalise=False, dtype=torch.float64, device=CPU)
    pixels = torch.from_numpy(image_set.images[chosen]).permute(0, 3, 1, 2)
    torch.testing.assert_close(plain, pixels.double() / 255, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(labels.numpy(), image_set.labels[chosen])
    trained = image_tensor(data, splits.train, normalise=True, dtype=torch.float64, device=CPU)[0]
    torch.testing.assert_close(trained.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        trained.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), rtol=1e-5, atol=0
    )
