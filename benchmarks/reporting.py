"""Reports of 50 studies with 20,000 runs, all of them new: seconds, memory, sizes of pages, and how fast a browser opens them.

python -m benchmarks.reporting [--write]
"""

import argparse
import io
import json
import resource
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import matplotlib as mpl
import numpy as np
import pandas as pd
from tabulate import tabulate

from benchmarks.publish import publish
from vision_studies.config.study import ReportingSettings, StudySettings
from vision_studies.pipelines.reporting.nodes import compare_studies, report_studies
from vision_studies.reports.page import INDEX_ENDING, STUDY_ENDING
from vision_studies.studies.provenance import processor_name
from vision_studies.studies.results import validate_results, write_results

STUDIES = 50
SIZES = [*[200] * 44, *[1000] * 5, 6200]  # runs: most studies are small, and one is a whole study of cuts
EPOCHS = 20
FIGURES = ("comparison", "learning_curves", "confusion_matrix", "prediction_grid", "reliability")
SEEDS = 10
ROUNDS = 3
SETTINGS = ReportingSettings(confidence=0.95, interval="t", test="t", margin=0.01, calibration=("temperature",))
RESULT = Path(__file__).parent / "results" / "reporting.md"


def results_table(study: str, runs: int, generator: np.random.Generator) -> pd.DataFrame:
    rows = []
    for number in range(runs):
        variant, seed = divmod(number, SEEDS)
        settings = {f"training.setting_{key}": key for key in range(40)} | {
            "model.name": "resnet_small",
            "cut": variant,
        }
        rows.append(
            {
                "pipeline": "cifar_resnet",
                "study": study,
                "variant": f"variant {variant}",
                "condition": f"{variant // 20}",
                "trial": 0,
                "seed": seed,
                "configuration": json.dumps(settings),
                **dict.fromkeys(("validation_accuracy", "test_accuracy"), 0.8 + 0.1 * generator.random()),
                "test_loss": 0.5 + generator.random(),
                "test_calibration_error": 0.1 * generator.random(),
                "other_metrics": json.dumps(
                    {"ended": "stopped", "test_images": 180, "train_accuracy": generator.random()}
                ),
                "parameters": 6085 + variant,
                "macs": 194816 + variant,
                "seconds": 60 * generator.random(),
                "status": "complete",
                "run_fingerprint": f"{number:016x}",
                "configuration_hash": f"{variant:064x}",
                "data_fingerprint": "6cbed9f05eb5fb51",
                "versions": "{}",
                "finished_at": "2026-01-02T10:00:00+00:00",
            }
        )
    return validate_results(pd.DataFrame(rows))


def histories_table(results: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    table = results[["variant", "seed", "run_fingerprint"]].rename(columns={"run_fingerprint": "run"})
    table = table.loc[table.index.repeat(EPOCHS)].reset_index(drop=True)
    table["epoch"] = np.tile(np.arange(1, EPOCHS + 1), len(results))
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        table[name] = generator.random(len(table))
    return table


def figure(generator: np.random.Generator) -> bytes:
    """About as large as the figures of a study."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(figsize=(9, 6))
    for _ in range(12):
        axes.plot(generator.random(60).cumsum())
    axes.imshow(generator.random((20, 20)), extent=(0, 20, 0, 20), aspect="auto")
    file = io.BytesIO()
    drawn.savefig(file, dpi=150, format="png")
    plt.close(drawn)
    return file.getvalue()


def make_studies(outputs: Path, reports: Path) -> None:
    generator = np.random.default_rng(0)
    png = figure(generator)
    for number, runs in enumerate(SIZES):
        name = f"study_{number:02d}"
        folder, drawn = outputs / name / "cifar_resnet", reports / name / "cifar_resnet"
        folder.mkdir(parents=True)
        results = results_table(name, runs, generator)
        write_results(results, folder / "results.parquet")
        histories_table(results, generator).to_parquet(folder / "histories.parquet")
        for title in FIGURES:
            version = drawn / f"{title}.png" / "2026-01-02T10.00.00.000Z"
            version.mkdir(parents=True)
            (version / f"{title}.png").write_bytes(png)


def write(files: dict[str, str], reports: Path) -> None:
    for name, text in files.items():
        (reports / name).parent.mkdir(exist_ok=True)
        (reports / name).write_text(text, encoding="utf-8")


def report(outputs: Path, reports: Path) -> dict[str, int]:
    """Page -> bytes."""
    study = StudySettings(name="study_00", title="Study", question="How fast?")
    scripts, pages, *_ = report_studies(study, SETTINGS, outputs, reports)
    write({f"{name}{STUDY_ENDING}": text for name, text in scripts.items()}, reports)
    write({f"{name}/report.html": text for name, text in pages.items()}, reports)
    of_index, index, *_ = compare_studies(study, SETTINGS, outputs, reports, pages)
    write({f"{name}{INDEX_ENDING}": text for name, text in of_index.items()} | {"index.html": index}, reports)
    return {name: len(page.encode()) for name, page in pages.items()} | {"index": len(index.encode())}


def opening_seconds(page: Path) -> float:
    """Until the page's load event, in a browser that is running already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        browser.new_page().goto("about:blank")
        shown = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        shown.goto(page.as_uri())
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULT}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outputs, reports = Path(folder) / "07_model_output", Path(folder) / "08_reporting"
        make_studies(outputs, reports)
        seconds, worked, again = [], [], []
        for _ in range(ROUNDS):
            for page in reports.glob("*/report.html"):
                page.unlink()
            start, begun = time.perf_counter(), time.process_time()
            sizes = report(outputs, reports)
            seconds.append(time.perf_counter() - start)
            worked.append(time.process_time() - begun)
            start = time.perf_counter()
            report(outputs, reports)
            again.append(time.perf_counter() - start)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        largest = max(sizes, key=lambda name: sizes[name])
        rows = [
            ["all pages and the index, seconds", f"{statistics.median(seconds):.1f}", "30"],
            ["the same, processor time, seconds", f"{statistics.median(worked):.1f}", "18.3"],
            ["the same when one page is new, seconds", f"{statistics.median(again):.1f}", ""],
            ["peak memory, GB", f"{memory:.2f}", "1"],
            ["largest page, MB", f"{sizes[largest] / 1e6:.2f}", "0.5"],
        ]
        if which("chromium") and find_spec("playwright"):
            for name, page in (("largest page", reports / largest / "report.html"), ("index", reports / "index.html")):
                opened = statistics.median(opening_seconds(page) for _ in range(ROUNDS))
                rows.append([f"opening the {name}, seconds", f"{opened:.2f}", "2"])
    table = tabulate(rows, headers=["", "measured", "goal"], tablefmt="github", disable_numparse=True)
    text = (
        f"# Reports of {len(SIZES)} studies with {sum(SIZES):,} runs\n\n{processor_name()}; medians of {ROUNDS} rounds; "
        f"{EPOCHS} epochs and {len(FIGURES)} figures each, the largest study has {max(SIZES):,} runs.\n\n{table}\n"
    )
    publish(text, RESULT, write=arguments.write)


if __name__ == "__main__":
    main()
