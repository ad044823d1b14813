"""Stages of runs done in a folder, in one call."""

from vision_studies.costs import costs_nothing
from vision_studies.studies import execution
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.stages import Alone, Stage


def execute(runs, stage, work, folder, settings, *, fresh=False, after=None):
    """Do a stage of runs, each alone."""
    execution.execute(
        Stage(stage, runs, Alone(work), costs_nothing, after=after), RunStore(folder), settings, fresh=fresh
    )


def execute_stacks(runs, stage, work, group, folder, settings, *, fresh=False):
    """Do a stage of runs in groups."""
    execution.execute(Stage(stage, runs, work, costs_nothing, group), RunStore(folder), settings, fresh=fresh)
