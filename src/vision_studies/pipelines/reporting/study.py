"""One study: what its pipelines have left in its folders, and what its page and the page of all studies show of it."""

import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
from PIL import Image
from pydantic import ValidationError

from vision_studies.config.data_prep import FOLDS
from vision_studies.config.merge import unflatten
from vision_studies.config.registry import METHODS, settings_model
from vision_studies.config.study import ReportingSettings, is_rehearsal
from vision_studies.errors import DataError, VisionStudiesError
from vision_studies.files import hash_json, visible_files
from vision_studies.pipelines.data_prep.section import SECTION
from vision_studies.pipelines.reporting.mistakes import gallery_data
from vision_studies.pipelines.reporting.reliability import reliability_rows
from vision_studies.project_folders import MODELS, PRIMARY
from vision_studies.reports.formatting import duration, text
from vision_studies.reports.page import Chart, ReportFigure
from vision_studies.reports.study_pages import StudyCard, StudyReport
from vision_studies.reports.tables import gaps, labels_among, run_rows
from vision_studies.run_folders import folds_of, read_left_out, read_unfinished, run_folders, stage_files
from vision_studies.studies.method import ChartSource, PageSection, load_method, networks_of
from vision_studies.studies.question import Images, did, earlier_questions, read_records
from vision_studies.studies.results import read_results
from vision_studies.versions import FOLDER, Versions, newest_file

if TYPE_CHECKING:
    from vision_studies.statistics.looks import Look
    from vision_studies.statistics.verdict import Verdict

Record = dict[str, Any]

PAGE_VERSION = 5
"""Pages of another version are made again."""

_VERSIONS = ("python", "torch", "kedro", "vision-studies")
_CLASSES_SHOWN = 30
_NO_PIPELINES = ("run_records", FOLDER)  # folders; versions of what the report itself has written decide no page
_META, _HEAD = re.compile(r'<meta name="(sources|headline)" content="([^"]*)">'), 8000  # characters in which they stand
_DESCRIPTION, _DESCRIBED = re.compile(r"<desc>(.*?)</desc>", re.DOTALL), 20_000  # characters in which it stands
_FIGURE_DPI = 150  # of a figure that does not tell
_VERSION_FORMAT = "%Y-%m-%dT%H.%M.%S.%fZ"  # Kedro's
_OF_CARD = ("fingerprint", "splits_fingerprint", "class_names")


@cache
def page_sections() -> dict[str, PageSection]:
    """Pipeline -> what a page shows of it and in what words, in the order of the page."""
    return {**{name: load_method(name).section for name in METHODS}, "data_prep": SECTION}


@dataclass(frozen=True)
class StudyFolders:
    """Where a study lies that `--env` named so: its results tables, in a folder a pipeline, and its figures and records.

    What it gives is what the study's newest command asks for; see `outdated`.

    Attributes:
        running: whether the newest command of the study is this one.
    """

    name: str
    outputs: Path
    reports: Path
    running: bool = False

    def has_results(self) -> bool:
        """Whether a pipeline of the study has left a results table."""
        return any(self.outputs.glob("*/results.parquet"))

    def fingerprint(self) -> str:
        """Changes when a file changes that the study's page is made from."""
        patterns = ("*/*.json", "*/*.png")
        shown = (
            file for pattern in patterns for file in self.reports.glob(pattern) if file.parent.name not in _NO_PIPELINES
        )
        files = [*visible_files(self.outputs), *filter(None, map(newest_file, shown))]
        states = {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)}
        newest = self.records[-1:]
        parameters = [[record["parameters"], record.get("differences_from_base")] for record in newest]
        # Whoever asks is about to report, in a command of this study or of another: both must find the same.
        outdated = earlier_questions(self.records, self.images, running=True)
        state = {"version": PAGE_VERSION, "files": states, "parameters": parameters, "outdated": outdated}
        return hash_json(state)[:16]

    @cached_property
    def outdated(self) -> dict[str, str]:
        """Pipeline whose tables and figures answer an earlier question -> a sentence that tells so; they are left out.

        Their runs are kept, and what the present question has in common with the earlier one is not done again.
        """
        reasons = earlier_questions(self.records, self.images, running=self.running)
        return {
            pipeline: f"The results of {pipeline} in the study '{self.name}' are {reason} than its newest command has, so they "
            f"are left out; `{self.command} --pipeline={pipeline}` brings them up to date without doing again what is finished."
            for pipeline, reason in reasons.items()
            if (self.outputs / pipeline).is_dir()
        }

    @cached_property
    def left_out(self) -> list[str]:
        """Sentences on pipelines that could not be done on the study's images, and on those that answer an earlier question."""
        unfit = {name: read_left_out(self.reports / name) for name in METHODS}
        return [
            *self.outdated.values(),
            *self.small_test_split,
            *self.not_in_folds,
            *filter(None, (read_unfinished(self.reports / name) for name in METHODS)),
            *(
                f"{name} is left out of the study '{self.name}', for it cannot be done on its images: {reason}"
                for name, reason in unfit.items()
                if reason is not None
            ),
        ]

    @property
    def small_test_split(self) -> list[str]:
        """What is said of a test split of the source's own that is small: it keeps its place, for somebody has chosen it."""
        for _, card in self.cards[-1:]:
            of_classes = card["own_test"]
            images, fewest = sum(of_classes), min(of_classes, default=0)
            if of_classes and (images < FOLDS.test_images or fewest < FOLDS.test_images_of_a_class):
                return [
                    f"The source's own test split is small: {images:,} images, {fewest:,} of the smallest class. It keeps its "
                    "place; without one, the images would be cross-validated."
                ]
        return []

    @property
    def not_in_folds(self) -> list[str]:
        """A sentence for each pipeline that keeps one test split though the images are in folds; nothing of one whose
        parameters are of an earlier version.
        """
        folds = [card["folds"] for _, card in self.cards[-1:] if card["folds"]]
        sentences = []
        for name in METHODS if folds else ():
            record = next((one for one in reversed(self.records) if did(one, name)), None)
            method = load_method(name)
            with suppress(ValidationError, VisionStudiesError, KeyError):
                parameters = {} if record is None else record["parameters"]
                models = [settings_model(key).model_validate(parameters[key]) for key in method.parameter_names]
                reason = method.folds(method.settings(*models))
                sentences += [] if not reason else [f"{name} is not cross-validated, for it {reason}."]
        return sentences

    @property
    def page(self) -> dict[str, str]:
        """What the study's page says of itself: `sources`, the fingerprint of what it was made from, and `headline`; both are
        empty where there is no page.
        """
        file = self.reports / "report.html"
        head = ""
        if file.is_file():
            with file.open(encoding="utf-8") as opened:
                head = opened.read(_HEAD)
        found = {name: html.unescape(content) for name, content in _META.findall(head)}
        return {name: found.get(name, "") for name in ("sources", "headline")}

    @property
    def models(self) -> Path:
        """Where its runs lie, in a folder a pipeline."""
        return self.outputs.parents[1] / MODELS.name / self.name

    @property
    def unfinished(self) -> list[str]:
        """A sentence for each pipeline that a command of the study has begun and that has left no results table."""
        begun = [name for name in METHODS if any(did(record, name) for record in self.records)]
        without = [name for name in begun if not (self.outputs / name / "results.parquet").is_file()]
        return [self._unfinished(name) for name in without if read_left_out(self.reports / name) is None]

    def _unfinished(self, pipeline: str) -> str:
        method, record = load_method(pipeline), next(one for one in reversed(self.records) if did(one, pipeline))
        runs = run_folders(method.runs_folder(self.models))
        ended = sum(bool(stage_files(folder)) for folder in runs if not folds_of(folder))
        try:
            models = [
                settings_model(name).model_validate(record["parameters"][name]) for name in method.parameter_names
            ]
            settings = method.settings(*models)
            folds = [card["folds"] for _, card in self.cards[-1:] if card["folds"] and method.folds(settings) is None]
            most = f" of at most {method.most_runs(settings) * max([1, *folds]):,}"
        except (ValidationError, VisionStudiesError, KeyError):  # a record of an earlier version
            most = ""
        return (
            f"{pipeline} has no results yet: {ended:,}{most} runs have ended; `{self.command} --pipeline={pipeline}` goes on "
            "from there."
        )

    @property
    def command(self) -> str:
        """What runs the study."""
        return "kedro run" if self.name == "base" else f"kedro run --env={self.name}"

    def mistakes(self, results: pd.DataFrame) -> str:
        """The gallery of what the study's best variants get wrong, as JSON; empty where nothing is known of it."""
        data = self.outputs.parents[1]
        models, primary = data / MODELS.name / self.name, data / PRIMARY.name
        return "".join(gallery_data(results, models, primary, card["fingerprint"]) or "" for _, card in self.cards[-1:])

    def results(self) -> pd.DataFrame:
        """Rows of the results tables of all pipelines.

        Raises:
            DataError: there is none that answers the present question; or one is damaged, of another schema, or of another
                study.
        """
        tables = []
        for file in self._present("*/results.parquet"):
            table = read_results(file)
            if others := sorted(set(table["study"]) - {self.name}):
                raise DataError(
                    f"{file} holds runs of the study '{others[0]}' but lies in the folder of '{self.name}', so that two "
                    f"studies would have one name; move the folder back, or rename it to '{others[0]}'."
                )
            tables.append(table)
        if not tables and self.has_results():
            raise DataError(
                f"Nothing in {self.outputs} answers the present question: {' '.join(self.outdated.values())}"
            )
        if not tables:
            raise DataError(
                f"There are no results in {self.outputs} yet; run a pipeline of this study first, for example "
                f"`kedro run --env={self.name} --pipeline=cifar_resnet`."
            )
        return pd.concat(tables, ignore_index=True)

    def conclusions(self) -> dict[str, list[str]]:
        """Pipeline -> sentences in which it has put its answer.

        Raises:
            DataError: a file is damaged.
        """
        sentences = {}
        for file in sorted(self.reports.glob("*/conclusions.json")):
            if file.parent.name in self.outdated:
                continue
            with _readable(file):
                sentences[file.parent.name] = [str(sentence) for sentence in _read_json(file)]
        return sentences

    def charts(self) -> dict[str, list[Chart]]:
        """Pipeline -> its interactive figures: learning curves of every pipeline, and what else there is to look into.

        Raises:
            DataError: a table is damaged or lacks a column.
        """
        from vision_studies.figures.style import series_of

        charts: dict[str, list[Chart]] = {}
        sources = [(pipeline, source) for pipeline, section in page_sections().items() for source in section.charts]
        for pipeline, source in [*sources, ("*", ChartSource("histories.parquet", _learning_curves))]:
            for file in self._present(f"{pipeline}/{source.file}"):
                with _readable(file):
                    content = _READERS[file.suffix](file)
                    variants = _variants(file.with_name("results.parquet"))
                with series_of(variants):
                    figure = source.draw(content)
                if figure is not None:
                    charts.setdefault(file.relative_to(self.outputs).parts[0], []).append(Chart(*figure))
        return charts

    def _present(self, pattern: str) -> list[Path]:
        """Files of the pipelines that answer the present question."""
        files = sorted(self.outputs.glob(pattern))
        return [file for file in files if file.relative_to(self.outputs).parts[0] not in self.outdated]

    def figures(self) -> tuple[list[ReportFigure], list[str]]:
        """The newest version of every figure that pages show, in their order, and a sentence for each that is missing.

        A figure is missing when earlier versions of it are there, and the newest is not.
        """
        figures, missing = [], []
        entries = (
            (pipeline, *entry) for pipeline, section in page_sections().items() for entry in section.figures.items()
        )
        for pipeline, name, words in entries:
            path = self.reports / pipeline / f"{name}.png"
            if pipeline in self.outdated or (name == "image_check" and not self.findings):
                continue
            file = newest_file(path)
            if file is not None:
                shown, width, height = picture(file, words.title)
                address = quote(shown.relative_to(self.reports).as_posix())
                said = picture_words(shown)
                said = said if not said or said.startswith(words.title) else f"{words.title}: {said}"
                figures.append(ReportFigure(*words, address, width, height, pipeline, said))
            elif Versions.of_file(path).names():
                missing.append(f"The figure '{words.title}' is missing, {path}; run `{pipeline}` again to draw it.")
        return figures, missing

    @cached_property
    def cards(self) -> list[tuple[str, Record]]:
        """Version and content of every data card of the study that is kept, the oldest first.

        Raises:
            DataError: a card is damaged.
        """
        newest = self.reports / "data_prep/data_card.json"
        versions = Versions.of_file(newest)
        files = [*map(versions.path, reversed(versions.names()))] or [*filter(None, [newest_file(newest)])]
        cards = []
        for file in files:
            try:
                card = _read_json(file)
                cards.append(
                    (
                        file.parent.name,
                        {name: card[name] for name in _OF_CARD}
                        | {"folds": card.get("folds", 0), "own_test": _own_test(card)},
                    )
                )
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{file} cannot be read ({error!r}); delete it and run data_prep again.") from error
        return cards

    @property
    def classes(self) -> list[str]:
        """Names of the classes, from the newest data card; none where there is no card. Raises DataError as `cards`."""
        return [str(name) for _, card in self.cards[-1:] for name in card["class_names"]]

    @cached_property
    def findings(self) -> list[dict[str, Any]]:
        """What the check of the images found, from the newest data card, as `Finding.to_json` has it; none where there is no
        card, or an earlier release has written it. Raises DataError where it is damaged.
        """
        file = newest_file(self.reports / "data_prep/data_card.json")
        if file is None:
            return []
        with _readable(file):
            return [dict(finding) for finding in _read_json(file).get("findings", [])]

    @property
    def doubts(self) -> list[str]:
        """A sentence for each finding with which results of these images must be taken: what is doubtful, or was accepted."""
        return [str(one["message"]) for one in self.findings if one["severity"] != "note"]

    @property
    def images(self) -> list[Images]:
        """Each time that images were prepared, and what tells these from others; none where a card is damaged, which whoever
        names the classes tells.
        """
        images: list[Images] = []
        try:
            cards = self.cards
        except DataError:
            return images
        for version, card in cards:
            with suppress(ValueError):  # a version that somebody named
                images.append((datetime.strptime(version, _VERSION_FORMAT).replace(tzinfo=UTC), json.dumps(card)))
        return images

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Records of the study's commands, the oldest first."""
        return read_records(self.reports / "run_records")


def _own_test(card: Record) -> list[int]:
    """Test images of each class, of a split of the source's own; empty where it has none, or the card does not say."""
    return [int(number) for number in card.get("counts", {}).get("test", ())] if card.get("own_test_split") else []


def picture(file: Path, title: str) -> tuple[Path, int, int]:
    """What is shown of a figure, SVG where it was saved with it, and its width and height in pixels of the page.

    An inch of a figure has 96 of them, and so its letters are as large as the page's.

    Raises:
        DataError: the file is not a PNG file.
    """
    try:
        with Image.open(file, formats=["PNG"]) as image:
            dots = image.info.get("dpi", (_FIGURE_DPI, _FIGURE_DPI))[0] or _FIGURE_DPI
            size = round(image.width / dots * 96), round(image.height / dots * 96)
    except OSError as error:
        raise DataError(
            f"The figure '{title}' is not a PNG file: {file}; delete the file and run its pipeline again."
        ) from error
    vector = file.with_suffix(".svg")
    return vector if vector.is_file() else file, *size


def picture_words(shown: Path) -> str:
    """What a figure that is SVG says of itself; empty where it says nothing."""
    if shown.suffix != ".svg":
        return ""
    with shown.open(encoding="utf-8") as file:
        found = _DESCRIPTION.search(file.read(_DESCRIBED))
    return html.unescape(found.group(1)) if found else ""


def find_studies(outputs: Path, reports: Path, running: str | None = None) -> list[StudyFolders]:
    """Every study that has results, by name; `running` is that of this command."""
    names = [folder.name for folder in sorted(outputs.glob("*/"))]
    folders = [StudyFolders(name, outputs / name, reports / name, name == running) for name in names]
    return [study for study in folders if study.has_results()]


def study_verdict(
    folders: StudyFolders, results: pd.DataFrame, settings: ReportingSettings, *, title: str = "", question: str = ""
) -> "Verdict":
    """Which of all that stood beside each other in a study to take, how sure that is, and what is missing.

    Args:
        folders: where it lies.
        results: its rows.
        settings: of the statistics.
        title: of its page; without it, what the study's newest record calls it.
        question: likewise.
    """
    from vision_studies.pipelines.reporting.candidates import candidates
    from vision_studies.statistics.verdict import verdict

    words = _words(folders, folders.records)
    images = _image_names(results, image_source(folders.records), folders.models)
    return verdict(
        candidates(results, images, folders.models),
        study=folders.name,
        title=title or words["title"],
        question=question or words["question"],
        findings=folders.doubts,
        missing=[*folders.unfinished, *folders.left_out],
        rehearsal=is_rehearsal(folders.name) or bool((results["device"] == "mock").any()),
        class_names=folders.classes,
        confidence=settings.confidence,
        margin=settings.margin,
        looks=_looks(folders, results),
    )


def _looks(folders: StudyFolders, results: pd.DataFrame) -> "dict[str, Look]":
    """Pipeline that adds seeds until enough is known -> what its last look has shown."""
    from vision_studies.studies.adding_seeds import look_at

    looks = {}
    for name, rows in results.groupby("pipeline", sort=False):
        record = next((one for one in reversed(folders.records) if did(one, str(name))), None)
        parameters = {} if record is None else record["parameters"].get(name) or {}
        if not parameters.get("until"):
            continue
        settings: Any = settings_model(str(name)).model_validate(parameters)
        runs = load_method(str(name)).runs_folder(folders.models)
        of_runs: dict[str, dict[int, Path]] = {variant.name: {} for variant in settings.variants}
        for row in rows[rows["trial"] == 0].to_dict("records"):
            if row["variant"] in of_runs:
                of_runs[row["variant"]][int(row["seed"])] = runs / row["run_fingerprint"]
        looks[str(name)] = look_at(of_runs, settings)
    return looks


def study_report(
    folders: StudyFolders, settings: ReportingSettings, *, title: str = "", question: str = ""
) -> StudyReport:
    """Read a study and compare its variants: all that its page shows.

    Args:
        folders: where it lies.
        settings: of the statistics.
        title: of its page; without it, what the study's newest record calls it.
        question: likewise.

    Raises:
        DataError: it has no results, or something cannot be read.
    """
    from vision_studies.statistics.comparisons import compare_metrics

    results, records = folders.results(), folders.records
    words = _words(folders, records)
    comparison = compare_metrics(
        results, confidence=settings.confidence, interval=settings.interval, test=settings.test
    )
    figures, missing = folders.figures()
    return StudyReport(
        title=title or words["title"],
        question=question or words["question"],
        study=folders.name,
        command=folders.command,
        settings=describe_setting(results, records, folders.classes),
        results=results,
        comparison=comparison,
        figures=figures,
        confidence=settings.confidence,
        conclusions=own_conclusions(folders),
        verdict=study_verdict(folders, results, settings, title=title, question=question),
        charts=folders.charts(),
        pipelines={pipeline: section.title for pipeline, section in page_sections().items()},
        differences=differences_from_base(records),
        doubts=folders.doubts,
        notes=[*folders.left_out, *missing],
        mistakes=folders.mistakes(results),
        reliability=reliability_rows(results, folders.models, settings.calibration, settings.confidence),
        sources=folders.fingerprint(),
        index="../index.html",
    )


def own_conclusions(folders: StudyFolders) -> dict[str, list[str]]:
    """Pipeline -> its sentences, of those that ask more than which variant to take: that is the verdict's to say. Raises
    DataError where a file is damaged.
    """
    answered = [name for name in METHODS if not load_method(name).verdict.asks_more]
    return {name: said for name, said in folders.conclusions().items() if name not in answered}


def headline_of(folders: StudyFolders, results: pd.DataFrame, settings: ReportingSettings) -> str:
    """The verdict's first sentence, from a file or a page with a verdict on these very results, or else made anew; where there
    is nothing to take, the first sentence of a pipeline that asks something else.
    """
    from vision_studies.reports.verdict import headline

    file, found = newest_file(folders.reports / "verdict.json"), None
    with suppress(OSError, ValueError, KeyError, TypeError):  # then it is made anew
        content = None if file is None else _read_json(file)
        found = content["headline"] if content and content["sources"] == folders.fingerprint() else None
    if found is None and (page := folders.page)["sources"] == folders.fingerprint():
        found = page["headline"]
    said = headline(study_verdict(folders, results, settings)) if found is None else str(found)
    conclusions = own_conclusions(folders)
    return said or next((conclusions[name][0] for name in page_sections() if conclusions.get(name)), "")


def configurations_of(
    folders: StudyFolders, results: pd.DataFrame, settings: ReportingSettings
) -> tuple[pd.DataFrame, StudyCard]:
    """A study's results with a name for each row's images, and what the page of all studies says of it."""
    records = folders.records
    words = _words(folders, records)
    runs = run_rows(results)
    card = StudyCard(
        name=folders.name,
        title=words["title"],
        question=words["question"],
        pipelines=tuple(pipeline for pipeline in page_sections() if pipeline in set(results["pipeline"])),
        answer=headline_of(folders, results, settings),
        runs=len(results),
        gaps=len(gaps(runs)),
        seconds=float(results["seconds"].sum()),
        finished=str(results["finished_at"].dropna().max())[:10],
        labels=(*(["rehearsal"] if is_rehearsal(folders.name) else []), *labels_among(runs)),
        doubts=len(folders.doubts),
    )
    return results.assign(data=_image_names(results, image_source(records), folders.models)), card


def _words(folders: StudyFolders, records: Sequence[Record]) -> dict[str, str]:
    newest = records[-1]["parameters"].get("study", {}) if records else {}
    return {"title": newest.get("title") or folders.name, "question": newest.get("question") or ""}


def _image_names(results: pd.DataFrame, source: str, models: Path) -> list[str]:
    """Source, number of classes where a run knows only some, and what its method calls the images: what has another name is not
    comparable.
    """
    called: dict[tuple[str, str], str] = {}
    names = []
    columns = (results[name] for name in ("pipeline", "data_fingerprint", "configuration"))
    for pipeline, fingerprint, configuration in zip(*columns, strict=True):
        if (pipeline, fingerprint) not in called:
            method = load_method(pipeline)
            called[pipeline, fingerprint] = method.images(method.runs_folder(models), fingerprint)
        classes = json.loads(configuration).get("classes")
        chosen = f", {len(classes)} classes" if isinstance(classes, list) else ""
        names.append(f"{source or 'images'}{chosen} ({called[pipeline, fingerprint]})")
    return names


def describe_setting(
    results: pd.DataFrame, records: Sequence[Record], classes: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of name and value: images, classes, hardware, time, versions."""
    newest = results.sort_values("finished_at").iloc[-1]
    versions = json.loads(newest["versions"]) if isinstance(newest["versions"], str) else {}
    processors = dict.fromkeys(record["processor"] for record in records if record.get("processor"))
    gpus = dict.fromkeys(gpu for record in records for gpu in record.get("gpus", []))
    source = image_source(records)
    return [
        *([("Images", source)] if source else []),
        *([("Classes", _listed(classes))] if classes else []),
        ("Data fingerprint", ", ".join(sorted(set(results["data_fingerprint"])))),
        ("Device", ", ".join([*sorted(set(results["device"].dropna())), *gpus])),
        *([("Processor", ", ".join(processors))] if processors else []),
        ("Training time", f"{duration(results['seconds'].sum())} over {len(results):,} runs"),
        ("Finished", f"{text(newest['finished_at'])} (UTC)"),
        ("Commit", text(newest["git_commit"])),
        ("Versions", ", ".join(f"{name} {versions[name]}" for name in _VERSIONS if name in versions)),
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_CLASSES_SHOWN])}{more}"


def image_source(records: Sequence[Record]) -> str:
    """What the newest run's images came from, as a short name; empty where no record tells."""
    for record in reversed(records):
        source = record["parameters"].get("data_prep", {}).get("source")
        if source:
            sources = source if isinstance(source, list) else [source]
            return " + ".join(PurePath(str(one)).name or str(one) for one in sources)
    return ""


def network_name(pipeline: str, configuration: str) -> str:
    """What a run's network is called; empty where runs are parts of networks.

    Args:
        pipeline: whose run it is.
        configuration: JSON object with dotted keys, as the results table has it.
    """
    return networks_of(pipeline).title(unflatten(json.loads(configuration)))


def differences_from_base(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Parameter, base value and own value, as JSON, of all that the newest run had otherwise than the base configuration."""
    newest = next((record for record in reversed(records) if "differences_from_base" in record), None)
    differences = newest["differences_from_base"] if newest else {}
    return [(key, json.dumps(base), json.dumps(value)) for key, (base, value) in sorted(differences.items())]


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # pandas and pyarrow have many errors for what a damaged file may be
        raise DataError(f"{file} cannot be read ({error}); delete it and run its pipeline again.") from error


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _variants(results: Path) -> list[str]:
    """Variants of a results table, in its order; none where there is no table."""
    return list(pd.read_parquet(results, columns=["variant"])["variant"].unique()) if results.is_file() else []


def _learning_curves(histories: pd.DataFrame) -> Any:
    from vision_studies.figures.interactive_results import learning_curves

    return learning_curves(histories)


_READERS: dict[str, Callable[[Path], Any]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".json": _read_json}
