import pytest
from scripts.docs_tools.equations import draw_equations


def marked(latex: str, *, block: bool = False) -> str:
    """As pymdownx.arithmatex leaves an equation."""
    if block:
        return f'<div class="arithmatex">\\[\n{latex}\n\\]</div>'
    return f'<span class="arithmatex">\\({latex}\\)</span>'


def test_equations_stand_in_their_text():
    page = draw_equations(f"<p>with {marked('n')} seeds</p>{marked('x', block=True)}")
    assert page.startswith('<p>with <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>n</mi>')
    assert '</math> seeds</p><div class="equation"><math' in page
    assert 'display="block"' in page


def test_characters_of_html_are_those_of_the_equation():
    assert "<mo>&#x0003C;</mo>" in draw_equations(marked("a &lt; b"))


def test_operators_of_two_words_keep_both():
    drawn = draw_equations(marked(r"\operatorname*{arg\,max}_c p"))
    assert "<mtext>arg&#x000A0;max</mtext>" in drawn


@pytest.mark.parametrize("latex", [r"\foo{x}", r"\begin{aligned} a &amp;= b \end{aligned}"])
def test_what_cannot_be_drawn_is_told(latex):
    with pytest.raises(ValueError, match="cannot be drawn; write it otherwise"):
        draw_equations(marked(latex))
