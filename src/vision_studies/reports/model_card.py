"""A model card in Markdown, in the sections that Hugging Face's cards have."""

import re
from typing import Any

import yaml

from vision_studies.reports.page import template_environment

_MARKUP = re.compile(r"[\\`*\[\]<>|#]|(?<!\w)_|_(?!\w)")
"""What Markdown would not show as it stands; an underscore within a word is none of it."""


def model_card(facts: dict[str, Any]) -> str:
    """The card of one model; what is not known is left out.

    Args:
        facts: what `templates/model_card.md` names. Numbers are as the results table has them.
    """
    names = ("percent", "number", "count", "duration")
    environment = template_environment(names, autoescape=False, keep_trailing_newline=True)
    environment.filters |= {"literal": literal, "yaml": _yaml}
    return environment.get_template("model_card.md").render(**facts, header=_yaml(_header(facts)))


def literal(value: Any) -> str:
    """Text that Markdown shows as it is: names of classes and files may hold anything."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(value).split()))


def _header(facts: dict[str, Any]) -> dict[str, Any]:
    """What Hugging Face's hub reads of a card."""
    header: dict[str, Any] = {
        "library_name": "vision-studies",
        "pipeline_tag": "image-classification",
        "tags": ["vision-studies", facts["pipeline"], facts["architecture"]],
        "metrics": ["accuracy"],
    }
    if facts["test_accuracy"] is not None:
        data = facts["data"]
        data_set = {"name": data["name"], "type": "image", "split": "test", "revision": facts["data_fingerprint"]}
        metrics = [{"type": "accuracy", "name": "Accuracy", "value": round(facts["test_accuracy"], 6)}]
        results = [{"task": {"type": "image-classification"}, "dataset": data_set, "metrics": metrics}]
        header["model-index"] = [{"name": facts["title"], "results": results}]
    return header


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
