"""The figure of docs/mlp_transfer.md on sizes of outputs: `python -m scripts.docs_tools.coordinate_check` draws it anew."""

from pathlib import Path

import torch
from sklearn.datasets import load_digits

from vision_studies.pipelines.mlp_transfer.width_plots import coordinate_sizes
from vision_studies.training.coordinate_check import coordinate_check

FIGURE = Path(__file__).parents[2] / "docs/figures/coordinate_check.png"


def main() -> None:
    """Five steps on the digits that come with scikit-learn, at widths from 32 to 2,048."""
    pixels, classes = load_digits(return_X_y=True)
    images = torch.tensor((pixels - pixels.mean()) / pixels.std(), dtype=torch.float32)[:512]
    table = coordinate_check(
        images,
        torch.tensor(classes)[:512],
        widths=[32, 64, 128, 256, 512, 1024, 2048],
        base_width=64,
        parametrisations=("standard", "mup", "ntk"),
    )
    coordinate_sizes(table).savefig(FIGURE, dpi=110, bbox_inches="tight")
    last = table[table["step"] == table["step"].max()].groupby(["parametrisation", "layer", "width"])["size"].mean()
    print(last.unstack("width").round(2).to_string())


if __name__ == "__main__":
    main()
