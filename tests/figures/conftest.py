import pytest

from vision_studies.figures import style


@pytest.fixture
def without_layout(monkeypatch):
    """Nothing on a figure is given its place, which takes longer than to draw it: for what has nothing to do with places."""
    monkeypatch.setattr(style, "_lay_out", lambda figure: None)
