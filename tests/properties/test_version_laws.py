"""Laws of versions, whatever is saved, changed by hand, deleted, restored and tidied in whatever order."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.properties.law_profiles import slow_law

from vision_studies.versions import Versions

CONTENTS = st.dictionaries(st.sampled_from(["a.png", "more/b.png", "c.png"]), st.sampled_from("xyz"), max_size=3)


class Histories(RuleBasedStateMachine):
    """A model of versions as dictionaries beside the real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.versions = Versions.of_files(self.folder / "figures", ".png")
        self.kept: dict[str, dict[str, str]] = {}
        self.newest: dict[str, str] = {}
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def name(self) -> str:
        self.number += 1
        return f"9999-{self.number:04d}"  # later than what is called after a file's time

    def now(self, folder: Path) -> dict[str, str]:
        files = (file for file in folder.rglob("*") if file.is_file())
        return {str(file.relative_to(folder)): file.read_text() for file in files}

    @rule(content=CONTENTS)
    def save(self, content: dict[str, str]) -> None:
        before, name, is_kept = self.newest, self.name(), self.newest in self.kept.values()
        latest = self.kept[max(self.kept)] if self.kept else None
        with self.versions.save(name) as folder:
            for file, text in content.items():
                (folder / file).parent.mkdir(exist_ok=True)
                (folder / file).write_text(text)
        if content not in (before, latest):
            self.kept[name] = content
            if before and not is_kept:  # by hand, and kept under a name of its own
                [new] = set(self.versions.names()) - set(self.kept)
                self.kept[new] = before
        self.newest = content

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.kept)))
        content = self.kept[version]
        names = set(self.kept)
        self.versions.restore(version, self.name())
        for name in set(self.versions.names()) - names:
            self.kept[name] = self.now(self.folder / ".versions/figures.png" / name)
        self.newest = content

    @precondition(lambda self: self.newest)
    @rule(delete=st.booleans())
    def change_by_hand(self, delete: bool) -> None:
        file = self.folder / "figures" / sorted(self.newest)[0]
        if delete:
            file.unlink()
        else:
            file.write_text("h")
        self.newest = self.now(self.folder / "figures")

    @rule(keep=st.integers(1, 3))
    def tidy(self, keep: int) -> None:
        names = sorted(self.kept, reverse=True)
        stay = {name for name in names if name in names[:keep] or self.kept[name] == self.newest}
        self.versions.remove(self.versions.superfluous(keep))
        self.kept = {name: content for name, content in self.kept.items() if name in stay}

    @invariant()
    def what_is_kept_never_changes_and_the_newest_is_what_was_last_made_it(self) -> None:
        assert {name: self.now(self.versions.path(name)) for name in self.versions.names()} == self.kept
        assert self.now(self.folder / "figures") == self.newest


TestHistories = Histories.TestCase
TestHistories.settings = slow_law
