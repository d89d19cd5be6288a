"""The page to try it, in a real browser."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser, browsing
from fakes import brightness, fake_classifier, fake_poser, poser, write_image
from image_files import encode, scene
from served import Served, serving

from yolo_max.output.palette import class_color
from yolo_max.predict.predictor import Predictor
from yolo_max.tasks.rle import boundaries_of
from yolo_max.tasks.rle import encode as encode_mask

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
PAGES = Path(__file__).parent.parent / "yolo_max" / "serve" / "pages"
RESULT = "!document.getElementById('result').hidden"
MESSAGE = "document.getElementById('message').textContent"
FOUND = "document.querySelectorAll('#found tr').length"
COLOURS = """(() => {
  const canvas = document.getElementById('picture'), pen = canvas.getContext('2d');
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data, colours = new Set();
  for (let i = 0; i < data.length; i += 4) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return colours.size;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        page.show(1000, 800)
        yield page


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def gray(tmp_path: Path) -> Path:
    """An image of one colour, so that whatever else is in the picture was drawn."""
    path = tmp_path / "gray.png"
    path.write_bytes(encode(scene(200, 300) * 0 + 128, "PNG"))
    return path


@needs_browser
@pytest.mark.parametrize("way", ["drop", "choose"])
def test_an_image_is_shown_with_what_was_found(
    browser: Browser, served: Served, gray: Path, way: str
) -> None:
    browser.open(served.address)
    if way == "drop":
        browser.drop("#drop", gray)
    else:
        browser.choose("#file", gray)
    browser.until(RESULT)
    found = served.predictor.result(gray, conf=0.25).found.to_dict()["boxes"]
    assert browser.look(FOUND) == len(found) == 3
    assert browser.look(MESSAGE).startswith("3 found, after ")
    assert browser.look("document.getElementById('picture').width") == 640  # a small one is enlarged
    assert browser.look(COLOURS) > 3
    assert found[0]["class_name"] in browser.look("document.getElementById('found').innerText")


@needs_browser
def test_another_confidence_asks_again(browser: Browser, served: Served, gray: Path) -> None:
    browser.open(served.address)
    browser.choose("#file", gray)
    browser.until(RESULT)
    assert served.predictor.result(gray, conf=0.25).found.to_dict()["boxes"][0]["confidence"] < 0.99
    browser.look(
        "(() => { const conf = document.getElementById('conf'); conf.value = 0.99;"
        "conf.dispatchEvent(new Event('input', {bubbles: true}));"
        "conf.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    browser.until(f"{MESSAGE}.startsWith('0 found')")
    assert browser.look(FOUND) == 0


@needs_browser
def test_the_box_for_classes_completes_each_of_several(browser: Browser, served: Served) -> None:
    offered = "[...document.querySelectorAll('#names option')].map((each) => each.value)"
    names = list(served.predictor.names.values())
    browser.open(served.address)
    browser.until(f"{offered}.length > 0")
    assert browser.look(offered) == names
    browser.look(
        f"(() => {{ const box = document.getElementById('classes'); box.value = '{names[1]}, {names[0][0]}';"
        "box.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.look(offered) == [f"{names[1]},{each}" for each in names if each != names[1]]


LABELS = """((count, chosen) => {
  const canvas = document.createElement('canvas'), drawn = [], kind = CanvasRenderingContext2D.prototype;
  const [text, rect] = [kind.fillText, kind.fillRect];
  canvas.width = canvas.height = 400;
  kind.fillRect = (x, y, width, height) => drawn.push({x, y, width, height});
  kind.fillText = (text) => { drawn.at(-1).text = text; };
  const boxes = Array.from({length: count}, (_, i) => (
    {class_id: i, class_name: `thing ${i}`, confidence: 0.9 - i / 100,
     xyxy: [100 + 2 * i, 100 + 2 * i, 300, 300]}));
  draw(canvas, {boxes}, chosen);
  [kind.fillText, kind.fillRect] = [text, rect];
  return drawn;
})"""
"""The labels of boxes that nearly are one: their text and rectangles, as they are drawn."""


@needs_browser
@pytest.mark.parametrize("width", [390, 1000])
@pytest.mark.parametrize(
    ("count", "chosen", "shown"),
    [
        (3, None, [0, 1, 2]),  # each has room, above a corner or below
        (30, None, [0]),  # most have none, and the surest has it first
        (30, 29, [29, 0]),  # a row of the table that is pointed at
    ],
)
def test_no_label_covers_another(
    browser: Browser, served: Served, width: int, count: int, chosen: int | None, shown: list[int]
) -> None:
    browser.show(width, 800)
    browser.open(served.address)
    labels = browser.look(f"{LABELS}({count}, {json.dumps(chosen)})")
    browser.show(1000, 800)
    names = [int(each["text"].split()[1]) for each in labels]
    assert names[: len(shown)] == shown
    assert len(set(names)) == len(names)
    for a, b in itertools.combinations(labels, 2):
        across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
        down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
        assert min(across, down) <= 1e-6, (a, b)


@needs_browser
def test_colors_are_those_of_pictures(browser: Browser, served: Served) -> None:
    browser.open(served.address)
    blue, green, red = class_color(1)
    assert browser.look("COLORS[1]") == f"#{red:02x}{green:02x}{blue:02x}"


MASKS = """(({counts, size, width, height}) => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  draw(canvas, {boxes: [{
    class_id: 0, class_name: 'ring', confidence: 0.9, xyxy: [0, 0, 1, 1], segmentation: {size, counts}}]});
  const picture = document.getElementById('picture'), scale = picture.width / width;
  const pen = picture.getContext('2d');
  const at = (x, y) => pen.getImageData((x + 0.5) * scale, (y + 0.5) * scale, 1, 1).data[3] > 0;
  return Array.from({length: height}, (_, y) => Array.from({length: width}, (_, x) => at(x, y)));
})"""
"""Where an image of nothing is covered, once a mask was drawn on it."""


@needs_browser
@pytest.mark.parametrize("border", [0, 8])  # of a canvas above and below the image
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(12, 20), slice(20, 36)),
        (slice(12, 24), slice(30, 40)),  # in a corner
        (slice(0, 24), slice(16, 32)),  # of the image's height: one run
        (slice(12, 13), slice(20, 21)),
        (slice(0, 0), slice(0, 0)),
    ],
)
def test_a_mask_covers_its_pixels_and_no_hole(
    browser: Browser, served: Served, rows: slice, columns: slice, border: int
) -> None:
    ring = np.zeros((24, 40), bool)
    ring[rows, columns], ring[14:18, 33:36] = True, False
    canvas = np.pad(ring, ((border, border), (0, 0)))
    asked = {
        "counts": encode_mask(boundaries_of([canvas], 0, 0, canvas.shape), canvas.shape),
        "size": canvas.shape,
        "width": 40,
        "height": 24,
    }
    browser.open(served.address)
    covered = np.array(browser.look(f"{MASKS}({json.dumps(asked)})"))
    assert (covered[10:] == ring[10:]).all()  # below the label


HELD = """(({counts, size, boxes}) => {
  const canvas = document.createElement('canvas'), held = [], painted = [];
  const [Kind, Data] = [OffscreenCanvas, ImageData];
  [canvas.height, canvas.width] = size;
  OffscreenCanvas = class extends Kind { constructor(...size) { super(...size); held.push(this); } };
  ImageData = class extends Data { constructor(...size) { super(...size); painted.push(this); } };
  const found = {boxes: Array.from({length: boxes}, () => ({
    class_id: 0, class_name: 'dot', confidence: 0.9, xyxy: [0, 0, 1, 1], segmentation: {size, counts}}))};
  draw(canvas, found);
  draw(canvas, found, 1);  // as the mouse does
  [OffscreenCanvas, ImageData] = [Kind, Data];
  return [held, painted].map((those) => those.reduce((sum, {width, height}) => sum + width * height, 0));
})"""
"""Pixels of the canvases that are kept for so many masks, and of what was painted."""


@needs_browser
def test_many_masks_take_one_picture_and_time_for_their_own_pixels(browser: Browser, served: Served) -> None:
    dot = np.zeros((640, 640), bool)
    dot[300:308, 300:308] = True
    counts = encode_mask(boundaries_of([dot], 0, 0, dot.shape), dot.shape)
    browser.open(served.address)
    asked = json.dumps({"counts": counts, "size": dot.shape, "boxes": 300})
    held, painted = browser.look(f"{HELD}({asked})")
    assert held == dot.size + 10**2  # all masks, and one with its margin
    assert painted == 300 * 10**2


@needs_browser
def test_what_the_server_says_is_shown_as_text(browser: Browser, served: Served, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<b>no image</b>")
    browser.open(served.address)
    browser.choose("#file", bad)
    browser.until(f"{MESSAGE}.startsWith('the image cannot be read')")
    assert not browser.look(RESULT)
    browser.look("document.getElementById('classes').value = '<img src=x onerror=alert(1)>'")
    browser.choose("#file", write_image(tmp_path / "a.png", 0))
    browser.until(f"{MESSAGE}.includes('onerror')")
    assert browser.look("document.querySelectorAll('#message *').length") == 0


@needs_browser
def test_an_image_that_the_browser_cannot_show_comes_from_the_server(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(encode(scene(100, 150), "TIFF"))
    browser.open(served.address)
    browser.choose("#file", path)
    browser.until(RESULT)
    assert browser.look("document.getElementById('picture').width") == 640
    assert browser.look(COLOURS) > 100


@needs_browser
def test_a_token_is_asked_for(browser: Browser, gray: Path) -> None:
    with serving(token="0123456789abcdef") as served:
        browser.open(served.address)
        browser.choose("#file", gray)
        browser.until("!document.getElementById('token-label').hidden")
        browser.look(
            "(() => { const token = document.getElementById('token'); token.value = '0123456789abcdef';"
            "token.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )
        browser.until(RESULT)


@needs_browser
@pytest.mark.parametrize(
    ("predictor", "found", "message"),
    [
        (lambda: Predictor(fake_poser(), engine=poser), 3, "3 found"),
        (lambda: Predictor(fake_classifier(), engine=brightness), 3, ""),
    ],
    ids=["pose", "classify"],
)
def test_other_tasks(browser: Browser, gray: Path, predictor: object, found: int, message: str) -> None:
    assert callable(predictor)
    with serving(predictor=predictor()) as served:
        browser.open(served.address)
        browser.choose("#file", gray)
        browser.until(RESULT)
        assert browser.look(FOUND) == found
        assert browser.look(MESSAGE).startswith(message)


@needs_browser
def test_nothing_comes_from_elsewhere_and_the_policy_allows_what_is_there(
    browser: Browser, served: Served, gray: Path
) -> None:
    browser.said.clear()
    browser.asked.clear()
    browser.open(served.address)
    browser.choose("#file", gray)
    browser.until(RESULT)
    browser.open(f"{served.address}docs")
    assert "POST /predict" in browser.look("document.body.innerText")
    style = "getComputedStyle(document.querySelector('header')).display"
    assert browser.look(style) == "flex"  # of the page
    here = (served.address, "blob:", "data:")
    assert [address for address in browser.asked if not address.startswith(here)] == []
    assert browser.said == []


@needs_browser
@pytest.mark.parametrize("width", [320, 700, 1400])
def test_nothing_sticks_out_of_the_window(browser: Browser, served: Served, gray: Path, width: int) -> None:
    browser.show(width, 800)
    for page in ("", "docs"):
        browser.open(served.address + page)
        if not page:
            browser.choose("#file", gray)
            browser.until(RESULT)
        assert browser.look("document.documentElement.scrollWidth <= window.innerWidth")
    browser.show(1000, 800)


def test_the_pages_name_no_other_server(served: Served) -> None:
    for page in ("/", "/docs"):
        answer = served.ask(None, page)
        assert re.findall(r"(?:https?:)?//[a-z]", answer.body.decode()) == []
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
