"""Equations as MathML, which browsers draw by themselves: no script and no network is needed to read them."""

import html
import re

from latex2mathml.converter import convert, convert_to_element

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_OPERATOR = re.compile(r"\\operatorname\*?\{([^{}]*)\}")


def draw_equations(page: str) -> str:
    """HTML in which the equations that `pymdownx.arithmatex` has marked have become MathML.

    Raises:
        ValueError: an equation has something that cannot be drawn.
    """
    return _EQUATION.sub(_drawn, page)


def _drawn(found: re.Match[str]) -> str:
    latex = html.unescape(found[3]).strip()
    block = found[2] == "["
    # The converter loses names of operators that have a space in them.
    named = _OPERATOR.sub(lambda name: "\\text{" + name[1].replace("\\,", " ") + "}", latex)
    # What the converter does not know it leaves standing as text, or empty.
    for element in convert_to_element(named).iter():
        text = element.text or ""
        if element.tag in ("mi", "mo") and (not text or "\\" in text or text == "&"):
            raise ValueError(
                f"The equation '{latex}' has {text or 'a command'} that cannot be drawn; write it otherwise."
            )
    drawn = convert(named, display="block" if block else "inline")
    return f'<div class="equation">{drawn}</div>' if block else drawn
