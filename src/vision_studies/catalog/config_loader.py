"""Configuration from several environments at once.

Kedro knows a base and one environment. Here `--env=a+b` lays `conf/a` and then `conf/b` over `conf/base`, and an
environment may extend others, so that a study composes with a data set or with the small sizes of a rehearsal. What an
environment has for one study alone stands in its file of that name: `conf/b/a.yml` is laid over `conf/b` where `a` is named
before it, or is what such a study extends.
"""

import re
from collections.abc import Callable, Iterable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vision_studies.catalog.configuration_files import (
    explain_duplicates,
    explain_reference,
    explain_unreadable,
    named_values,
    read_mapping,
    refuse_endless,
    united,
)
from vision_studies.config.merge import merge_settings
from vision_studies.config.validation import KeyPath, validate_parameters
from vision_studies.errors import ParameterError, guess

ENVIRONMENT_FILE = "environment.yml"
_ENTRIES = ("extends", "title", "question", "pipelines", "images", "studies")
_OF_NO_PIPELINE = ("execution", "versions", "storage", "tracking", "fresh")
"""Parameters that say how and where a study is done, and nothing of what it does."""
_FOLDER_NAME = re.compile(r"\w[\w. -]*")  # the study's name is part of every output path


class StudyConfigLoader(OmegaConfigLoader):
    """`OmegaConfigLoader` with composed environments, checked parameters and the resolvers `study` and `data_set`.

    - `${study:}` is the environment as named on the command line, `base` when none was.
    - `${data_set:}` is the key of the prepared data that `data_prep` asks for.

    `images` says whether the study needs `data_prep` at all. `studies` are the environments that a collection of studies
    stands for; None for a study of its own.
    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._folder = Path(conf_source)
        self._parameters: dict[str, Any] | None = None
        self._sources: list[tuple[str, Any]] = []
        local = options.get("default_run_env") or "local"
        names = env.split("+") if env else [local] if (self._folder / local).is_dir() else []
        self.study = env or "base"
        self.chain = self._expand(names)
        # Of the first environments that have them.
        self.environment: dict[str, str] = {
            "name": self.study,
            "title": self._first(names, "title") or self.study,
            "question": self._first(names, "question") or "No question is asked: these are the base parameters.",
        }
        self._named_pipelines, self._is_named = self._first(names, "pipelines"), bool(env)
        self._has_title = self._first(names, "title") is not None
        self.images = self._first(names, "images") is not False
        self.studies = self._collected(names)
        super().__init__(conf_source, env=env, runtime_params=runtime_params, **options)

    def __getitem__(self, key: str) -> Any:
        # Resolvers are global to the process: whoever reads next must see its own study.
        resolvers: dict[str, Callable[[], str]] = {"study": lambda: self.study, "data_set": self.data_set_key}
        for name, resolver in resolvers.items():
            OmegaConf.register_new_resolver(name, resolver, replace=True)
        self._register_globals_resolver()
        OmegaConf.clear_resolver("oc.env")  # a secret of the environment is none in a record of the run
        if key == "catalog":
            self["parameters"]  # what is wrong in them is told as such, not as a path that cannot be made
        if key != "parameters" or key in self:
            return super().__getitem__(key)
        if self._parameters is None:
            self._sources = []
            merged = merge_settings(super().__getitem__(key), self.runtime_params or {})
            if "study" in merged:
                raise ParameterError(
                    f"{self._origin(('study',))}: 'study' is filled in by the project; write title and question into "
                    f"the environment's {ENVIRONMENT_FILE}."
                )
            merged["study"] = self.environment
            validate_parameters(merged, self._origin)
            self._parameters = merged
        return self._parameters

    @property
    def pipelines(self) -> list[str] | None:
        """Pipelines that the study works with besides `data_prep` and `reporting`; None for all of them.

        There are none where environments without a title say no more than what the images are: these are prepared then.
        """
        names: list[str] | None = self._named_pipelines
        if names is not None or not self._is_named or self.studies is not None or self._has_title:
            return names
        self["parameters"]
        base = (self._folder / (self.base_env or "base")).absolute()
        named = {key for file, content in self._sources if Path(file).absolute().parent != base for key in content}
        return [] if "data_prep" in named and named <= {"data_prep", *_OF_NO_PIPELINE} else None

    def catalog_in(self, project: Path) -> dict[str, Any]:
        """The catalog, with its paths below a project's folder, as Kedro's context lays them."""
        from kedro.framework.context.context import _convert_paths_to_absolute_posix

        return _convert_paths_to_absolute_posix(project, self["catalog"])

    def base_parameters(self) -> dict[str, Any]:
        """Parameters as they are without any environment named."""
        options = {name: getattr(self, name) for name in ("base_env", "default_run_env", "merge_strategy")}
        return StudyConfigLoader(self.conf_source, **options)["parameters"]

    def _read_raw_config(self, key: str) -> Any:
        """Files of the base and, instead of one environment's, those of every environment in the chain."""
        patterns, project = [*self.config_patterns[key]], self._folder.parent
        processed: set[Path] = set()
        folders = {name: self._folder / name for name in [self.base_env, *self.chain]}
        single = {name: self._for_single_studies(name) if key == "parameters" else [] for name in folders}
        every = [*patterns, *{file for files in single.values() for file in files}]
        refuse_endless(folders.values(), every, project)
        try:
            layers = {
                f"{name}/{'' if files is patterns else files[0]}": self._read_dir_configs(
                    str(folder), files, key, processed, key == "credentials"
                )
                for name, folder in folders.items()
                for files in [patterns, *([file] for file in single[name])]
            }
        except Exception as error:
            explained = explain_unreadable(folders.values(), every, project)
            if explained is None and str(error).startswith("Duplicate keys"):
                explained = explain_duplicates(error, project)
            if explained is None:
                raise
            raise explained from error
        return layers.pop(f"{self.base_env}/"), layers, str(folders[self.base_env]), str(self._folder), processed

    def _for_single_studies(self, environment: str) -> list[str]:
        """Files of parameters that an environment has for those that come before it."""
        before = self.chain[: self.chain.index(environment)] if environment in self.chain else []
        return [f"{name}.yml" for name in before if (self._folder / environment / f"{name}.yml").is_file()]

    def _read_dir_configs(
        self,
        conf_path: str,
        patterns: Iterable[str],
        key: str,
        processed_files: set[Path],
        read_environment_variables: bool | None = False,
    ) -> dict[Path, Any]:
        """What Kedro reads, faster; parameters of which none refers to another stay plain values, with nothing to resolve."""
        patterns = list(patterns)
        texts = {file: file.read_text(encoding="utf-8") for file in self._files(conf_path, patterns)}
        contents = {file: content for file, text in texts.items() if (content := named_values(text)) is not None}
        if not contents or len(contents) < len(texts):
            return super()._read_dir_configs(conf_path, patterns, key, processed_files, read_environment_variables)
        processed_files.update(contents)
        if key == "parameters" and not any("${" in text for text in texts.values()):
            names = {file: dict.fromkeys(self._get_all_keys(content)) for file, content in contents.items()}
            self._check_duplicates("values", names)
            return contents
        configs = {file: OmegaConf.create(content) for file, content in contents.items()}
        for config in configs.values() if read_environment_variables else ():
            self._resolve_environment_variables(config)
        self._check_duplicates(key, configs)
        return configs

    def _files(self, folder: str, patterns: Iterable[str]) -> list[Path]:
        """Those that Kedro would read."""
        found = {Path(file) for pattern in patterns for file in self._fs.glob(Path(f"{folder}/{pattern}").as_posix())}
        seen = [file for file in found if not (self.ignore_hidden and self._is_hidden(str(file)))]
        return sorted(file for file in seen if self._is_valid_config_path(file))

    def _resolve_from_raw_config(
        self, key: str, base_configs: Any, env_configs: Any, base_path: str, env_path: str, processed_files: set[Path]
    ) -> dict[str, Any]:
        """Merge the layers in order; parameters by the rule of `merge_settings`, everything else by Kedro's."""
        if key == "parameters" and base_configs:
            merged = self._merge_and_resolve(key, base_configs)
        else:
            merged = super()._resolve_from_raw_config(key, base_configs, {}, base_path, env_path, processed_files)
        for files in env_configs.values():
            layer, is_settings = self._merge_and_resolve(key, files), key == "parameters"
            merged = merge_settings(merged, layer) if is_settings else self._merge_configs(merged, layer, key, env_path)
        return merged

    def _merge_and_resolve(self, key: str, config_per_file: Any) -> dict[str, Any]:
        contents: list[tuple[Path, Any]] = [
            (Path(file), OmegaConf.to_container(config) if OmegaConf.is_config(config) else config)
            for file, config in sorted(config_per_file.items())
        ]
        try:
            if key != "parameters" or not config_per_file:
                return super()._merge_and_resolve(key, config_per_file)
            # --params are laid over the merged layers in the end: laid over each of them they would undo its own values.
            self._sources += [(str(file), content) for file, content in contents]
            if not any(map(OmegaConf.is_config, config_per_file.values())):
                return united(content for _, content in contents)
            merged: Any = OmegaConf.to_container(OmegaConf.unsafe_merge(*config_per_file.values()), resolve=True)
            return merged
        except OmegaConfBaseException as error:
            raise explain_reference(error, contents, self._folder.parent) from error

    def data_set_key(self) -> str:
        """Key of the prepared data that `data_prep` asks for."""
        from vision_studies.config.data_prep import DataPrepSettings, data_set_key

        return data_set_key(DataPrepSettings.model_validate(self["parameters"]["data_prep"]))

    def _origin(self, path: KeyPath) -> str:
        """The last file that sets `path`, or the nearest group around it, as seen from the project."""
        if path[:1] == ("study",) and len(path) > 1:
            return ENVIRONMENT_FILE
        sources = [("--params", self.runtime_params or {}), *reversed(self._sources)]
        project = self._folder.parent.absolute()
        for length in range(len(path), 0, -1):
            for name, content in sources:
                if _defines(content, path[:length]):
                    return str(Path(name).relative_to(project)) if Path(name).is_relative_to(project) else name
        return f"{self._folder.name}/{self.base_env or 'base'}"

    def _expand(self, names: list[str], path: tuple[str, ...] = ()) -> list[str]:
        """Environments in merge order, each after those it extends, each once."""
        chain: list[str] = []
        for name in names:
            if name in path:
                raise ParameterError(
                    f"conf/{path[-1]}/{ENVIRONMENT_FILE}: extends goes in a circle ({' -> '.join([*path, name])}); "
                    "remove one of these names."
                )
            extends = self._read_environment(name).get("extends") or []
            parents = [extends] if isinstance(extends, str) else list(extends)
            chain += [entry for entry in [*self._expand(parents, (*path, name)), name] if entry not in chain]
        return chain

    def _collected(self, names: list[str]) -> list[str] | None:
        """The studies of a collection, each composed with the environments that were named beside it."""
        collections = {
            name: content["studies"] for name in names if "studies" in (content := self._read_environment(name))
        }
        if len(collections) > 1:
            raise ParameterError(f"--env={'+'.join(names)} names two collections of studies; name one of them.")
        for collection, studies in collections.items():
            return ["+".join(study if name == collection else name for name in names) for study in studies]
        return None

    def _first(self, names: list[str], key: str) -> Any:
        """What the first environment that has `key` says there; None where none has it."""
        described = (self._read_environment(name) for name in [*names, *reversed(self.chain)])
        return next((entry[key] for entry in described if key in entry), None)

    def _read_environment(self, name: str) -> dict[str, Any]:
        folder = self._folder / name
        if not _FOLDER_NAME.fullmatch(name) or not folder.is_dir():
            there = sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir())
            raise ParameterError(
                f"There is no environment '{name}' in {self._folder.name}/.{guess(name, there)} There are: {', '.join(there)}."
            )
        file = folder / ENVIRONMENT_FILE
        if not file.exists():
            return {}
        content = read_mapping(file, self._folder.parent)
        shown = f"{self._folder.name}/{name}/{ENVIRONMENT_FILE}"
        unknown = sorted(set(content) - set(_ENTRIES))
        if unknown:
            raise ParameterError(f"{shown}: {unknown[0]!r} is not known here; allowed are {', '.join(_ENTRIES)}.")
        extends = content.get("extends") or []
        if not isinstance(extends, str) and not _are_names(extends):
            raise ParameterError(f"{shown}: extends={extends!r} must be the name of an environment or a list of names.")
        if not isinstance(content.get("images", True), bool):
            raise ParameterError(f"{shown}: images={content['images']!r} must be true or false.")
        for key, example in (("pipelines", "cifar_resnet"), ("studies", "alpha_study")):
            names = content.get(key, [example])
            if not (names and _are_names(names)):
                raise ParameterError(f"{shown}: {key}={names!r} must be a list of names, such as [{example}].")
        return content


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _defines(content: Any, path: KeyPath) -> bool:
    try:
        reduce(getitem, path, content)
    except (KeyError, IndexError, TypeError):
        return False
    return True
