"""Words that a page explains where they stand, from `glossary.yml`; `docs/glossary.md` is made from the same file.

python -m vision_studies.reports.glossary writes the page of the documentation to its output.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import yaml
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Term:
    """A word: its name on the page, what it means, other forms in which it is found, and whether everybody knows it."""

    name: str
    means: str
    also: tuple[str, ...] = ()
    everyday: bool = False

    @property
    def key(self) -> str:
        """What it is called in addresses."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass
class Explained:
    """What has been explained on a page: each word once in every block, and at the end of the page what it means."""

    used: dict[str, Term] = field(default_factory=dict)

    def __call__(self, text: str) -> Markup:
        """A text with its words as buttons that show what they mean; all else is escaped."""
        seen: set[str] = set()
        parts: list[str] = []
        place = 0
        for found in _pattern().finditer(str(text)):
            term = _forms()[found.group()] if found.group() in _forms() else _forms()[found.group().lower()]
            if term.name in seen:
                continue
            seen.add(term.name)
            self.used[term.key] = term
            parts += [escape(text[place : found.start()]), _button(term, found.group())]
            place = found.end()
        return Markup("").join([*parts, escape(text[place:])])

    def terms(self) -> list[Term]:
        """What has been explained so far, by name."""
        return sorted(self.used.values(), key=lambda term: term.name.lower())


@cache
def glossary() -> tuple[Term, ...]:
    """All words, as they stand in the file."""
    content: Mapping[str, dict] = yaml.safe_load(
        files(__package__).joinpath("glossary.yml").read_text(encoding="utf-8")
    )
    return tuple(
        Term(str(name), own["means"], tuple(own.get("also", ())), own.get("everyday", False))
        for name, own in content.items()
    )


def markdown() -> str:
    """The page of the documentation."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Glossary\n\nWords that pages and tables use. A page of a study explains them where they stand: press a word.\n"
    for term in sorted(glossary(), key=lambda term: term.name.lower()):
        also = f" (also: {', '.join(term.also)})" if term.also else ""
        yield f"\n**{term.name}**{also}\n:   {term.means}\n"


def _button(term: Term, words: str) -> Markup:
    return Markup('<button type="button" class="term" popovertarget="term-{}">{}</button>').format(term.key, words)


@cache
def _forms() -> dict[str, Term]:
    """Form of a word -> the word; a form without capitals is found with one, too."""
    return {form: term for term in glossary() if not term.everyday for form in (term.name, *term.also)}


@cache
def _pattern() -> re.Pattern[str]:
    forms = sorted(_forms(), key=len, reverse=True)
    either = [
        f"[{form[0]}{form[0].upper()}]{re.escape(form[1:])}"
        if form == form.lower() and len(form) > 2
        else re.escape(form)
        for form in forms
    ]
    # Something of its own is nothing to explain.
    return re.compile(
        rf"(?<![\w.-])(?<!\w')(?<!\bits )(?<!\btheir )(?<!\bof )(?<!'s )(?:{'|'.join(either)})(?![\w-]|'\w)"
    )


if __name__ == "__main__":
    print(markdown(), end="")
