"""Versions of what the catalog saves: those that are asked for are there, and no more are kept than are wanted."""

from typing import Any

from kedro.framework.hooks import hook_impl

from vision_studies.catalog.datasets import versions_in
from vision_studies.errors import ParameterError, guess
from vision_studies.hooks.lock import at_work
from vision_studies.hooks.study import StudyHooks


class VersionHooks(StudyHooks):
    """Checks `--load-versions` before anything is done, and deletes the oldest versions at the end; see `versions.keep`."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Refuse what cannot be loaded, before a record is made. Raises ParameterError where no step works with it, and
        DataError where the version is gone.
        """
        wanted = run_params.get("load_versions") or {}
        kept = versions_in(catalog, pipeline.datasets()) if wanted else {}
        for name, version in wanted.items():
            if name not in kept:
                raise ParameterError(
                    f"--load-versions: '{name}' is no data set with versions that these steps work with."
                    f"{guess(name, list(kept))} `kedro versions list` shows those that have some."
                )
            kept[name].find(version)

    @hook_impl
    def after_pipeline_run(self, pipeline: Any, catalog: Any) -> None:
        """Delete the oldest versions, unless another command works on the study: it may read them."""
        keep = self._load_parameters().get("versions", {}).get("keep")
        with at_work(self._project, self._study) as others:
            if keep is not None and not others:
                for versions in versions_in(catalog, pipeline.datasets()).values():
                    versions.remove(versions.superfluous(keep))
