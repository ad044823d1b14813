import numpy as np
import pytest
from scripts.docs_tools.screenshot import MARGIN, WIDTH, screenshot
from tests.browser.conftest import installed_chromium

PAGE = """<body style="margin:0"><div style="height:100px"></div>
<h2 id="answer" style="margin:0;height:40px;background:#00f"></h2>
<figure class="standings" style="margin:0;height:60px;background:#f00"></figure><figure class="standings">another</figure>"""


@pytest.mark.slow
def test_a_picture_of_a_verdict_is_its_first_answer_and_chart_and_a_margin(tmp_path):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if installed_chromium() is None:
        pytest.skip("Chromium is not installed")
    (tmp_path / "report.html").write_text(PAGE, encoding="utf-8")
    picture = np.array(screenshot(tmp_path / "report.html", "verdict").convert("RGB"))
    assert picture.shape == (100 + 2 * MARGIN, WIDTH["verdict"], 3)
    assert (picture[MARGIN : MARGIN + 40] == [0, 0, 255]).all()
    assert (picture[MARGIN + 40 : -MARGIN] == [255, 0, 0]).all()
