"""Near copies planted in CIFAR-10: how many are found, and how many images are alarmed of that have no planted partner.

    python -m benchmarks.copies [--write] [--source=../shared/data/cifar10] [--sheet=FILE.png]

To all 60,000 images come 1,000 copies of images drawn with a fixed seed, 200 of each of five kinds. CIFAR-10 itself holds
copies (Barz and Denzler, 2020, found 3.25 % of its test images in training), so that an alarm without a planted partner need
not be false: `--sheet` draws a sample of them to be looked at.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageEnhance

from benchmarks.publish import publish
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks.copies import near_copies
from vision_studies.data.checks.sheet import SheetRow
from vision_studies.data.checks.survey import survey_arrays
from vision_studies.data.groups import same_groups
from vision_studies.data.sources.decoding import Decoding
from vision_studies.data.sources.listing import Listing
from vision_studies.data.sources.raw import RawImages, decode_all
from vision_studies.data.sources.read import list_source
from vision_studies.figures.contact_sheet import contact_sheet
from vision_studies.studies.provenance import processor_name

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "copies.md"
OF_A_KIND = 200
SHOWN = 120
SEEN = """Looked at by eye, of the 2,130 pairs of CIFAR-10's own: all of 224 pairs drawn by chance from those whose edges agree by 0.88 or more
show one photograph, or the same press picture of a car in another shade; of 112 of the 305 pairs below that, two show different
aeroplanes on an even sky. That makes some five false pairs, ten images or 0.02 % of all. MNIST has no alarm, FashionMNIST 174 images
of 70,000, most of them one garment photographed twice; the digits are too small to be looked at."""  # noqa: E501

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def resized(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """To three quarters and back."""
    return image.resize((24, 24), Image.Resampling.LANCZOS).resize((32, 32), Image.Resampling.BICUBIC)


def recompressed(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """JPEG of quality 50."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content)


def cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """An eighth of the width and height cut off, divided between the sides by chance; a quarter of the picture is lost."""
    left, top = (int(place) for place in random.integers(0, 5, 2))
    return image.crop((left, top, left + 28, top + 28)).resize((32, 32), Image.Resampling.LANCZOS)


def brightened(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """By three tenths; what was light becomes white."""
    return ImageEnhance.Brightness(image).enhance(1.3)


def mirrored(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Left and right exchanged."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


KINDS: tuple[Change, ...] = (resized, recompressed, cropped, brightened, mirrored)


def described(change: Change) -> str:
    """Its name and what it does."""
    return f"{change.__name__}: {(change.__doc__ or '').rstrip('.')}"


def planted(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All images and the copies behind them, uint8 [N + 1000, 32, 32, 3], and which images these are copies of."""
    random = np.random.default_rng(0)
    originals = random.choice(len(images), OF_A_KIND * len(KINDS), replace=False)
    copies = [
        np.asarray(KINDS[place // OF_A_KIND](Image.fromarray(images[original]), random).convert("RGB"))
        for place, original in enumerate(originals)
    ]
    return np.concatenate([images, np.stack(copies)]), originals


def read(source: Path) -> RawImages:
    """All images of CIFAR-10."""
    values = yaml.safe_load((ROOT / "conf/base/parameters_data_prep.yml").read_text(encoding="utf-8"))["data_prep"]
    listing = list_source(str(source), DataPrepSettings(**values))
    assert isinstance(listing, Listing)
    return decode_all(
        listing.items(), listing.class_names, decoding=Decoding(), skip_corrupt=False, source=listing.source
    )


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} in benchmarks/results")
    parser.add_argument("--source", type=Path, default=ROOT.parent / "shared/data/cifar10")
    parser.add_argument("--sheet", type=Path, help="draw alarms without a planted partner into this PNG file")
    arguments = parser.parse_args()
    raw = read(arguments.source)
    count = len(raw.images)
    images, originals = planted(raw.images)
    several = RawImages(images, np.zeros(len(images), np.int64), ("all",), np.zeros(len(images), bool))
    survey = survey_arrays(several, "cifar10")
    exact = same_groups(survey.pixel_keys)
    began = time.perf_counter()
    pairs = near_copies(survey.thumbnails)
    seconds = time.perf_counter() - began
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    hits = np.array([(int(original), count + place) in found for place, original in enumerate(originals)])
    hits |= (exact[originals] >= 0) & (exact[originals] == exact[count : count + len(originals)])
    found_of = hits.reshape(len(KINDS), OF_A_KIND).sum(axis=1)
    own = pairs.second < count
    alarmed = np.unique(np.concatenate([pairs.first[own], pairs.second[own]]))
    crossed = ~own & ~np.isin(
        pairs.first, np.concatenate([originals, alarmed])
    )  # copies paired with an image that is neither their original nor like it
    in_test = np.intersect1d(alarmed, np.flatnonzero(raw.is_test))
    lines = [
        "# Near copies planted in CIFAR-10",
        "",
        f"`python -m benchmarks.copies`: 1,000 copies among {count:,} images; how is said in its source. {processor_name()}.",
        "",
        "| kind | found of 200 |",
        "| --- | ---: |",
        *(f"| {kind} | {found_of[place]} |" for place, kind in enumerate(map(described, KINDS))),
        f"| all: recall | {hits.mean():.1%} |",
        "",
        f"{int(crossed.sum())} planted copies were paired with an image that is neither their original nor a copy of it. "
        f"{len(alarmed):,} images of CIFAR-10 ({len(alarmed) / count:.2%}) were found to be near copies of others of CIFAR-10, "
        f"{len(in_test):,} of them among the 10,000 test images. The search took {seconds:.0f} s.",
    ]
    if arguments.sheet is not None:
        _draw(arguments.sheet, raw.images, pairs.first[own], pairs.second[own])
    lines += ["", SEEN]
    publish("\n".join(lines) + "\n", RESULT, write=arguments.write)


def _draw(file: Path, images: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Pairs of CIFAR-10's own, drawn with a fixed seed."""
    chosen = np.random.default_rng(3).permutation(len(first))[:SHOWN]
    rows = []
    for start in range(0, len(chosen), 12):
        some = chosen[start : start + 12]
        both = tuple(np.concatenate([images[first[place]], images[second[place]]], axis=0) for place in some)
        rows.append(SheetRow("pairs", "note", len(some), tuple(str(place) for place in some), both))
    contact_sheet(rows, "CIFAR-10's own").savefig(file, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
