"""The report: what it says, that it needs nothing but itself, and that a browser shows it as it should."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import comparisons
import numpy as np
import pytest
from fakes import fake_poser, fake_weights, write_image

from yolo_max.images.read import read_image
from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.tasks.rubric import TensorDifference
from yolo_max.verify.compare.comparison import Comparison, Settings, compare
from yolo_max.verify.compare.folder import ComparisonFolder
from yolo_max.verify.compare.report import Picture, render
from yolo_max.weights.load import Weights

NAMES = ["b.png", "a.png", "<i>&'\".png", "d.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_image(tmp_path / "in" / name, seed)
    return tmp_path


def _compare(
    folder: Path, monkeypatch: pytest.MonkeyPatch, weights: Weights | None = None, **nudges: Any
) -> Comparison:
    weights = weights or fake_weights()
    comparisons.install(monkeypatch, weights, **nudges)
    return compare(Settings(weights), [str(folder / "in" / name) for name in NAMES])


def _write(comparison: Comparison, folder: Path, *warnings: str) -> Path:
    found = [each for each in find_images([folder / "in"]) if isinstance(each, SourceImage)]
    out = ComparisonFolder(folder / "out", found)
    for image in comparison.images:
        out.add(image)
    return out.finish(comparison, warnings)[1][0]


@pytest.mark.parametrize("before", [False, True])
def test_a_comparison_that_is_not_finished_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """What was there before, the folder itself too, stays."""
    comparison = _compare(folder, monkeypatch)
    found = [each for each in find_images([folder / "in"]) if isinstance(each, SourceImage)]
    out = folder / "out"
    if before:
        (out / "images").mkdir(parents=True)
        (out / "images/notes.txt").touch()
    with ComparisonFolder(out, found) as written:
        written.add(comparison.images[0])
        assert len(list(out.glob("images/*.*"))) == 1 + before
    assert out.exists() == before
    assert [path.name for path in out.rglob("*")] == ["images", "notes.txt"] * before


class _Links(HTMLParser):
    """Everything that a page would fetch, and whether its tags are in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parse(page: str) -> _Links:
    parser = _Links()
    parser.feed(page)
    assert parser.open == []
    return parser


def _text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_bf16_is_not_held_to_the_bounds_of_f32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = fake_weights()
    comparisons.install(monkeypatch, weights, max=comparisons.rounding(0.03))
    images = [str(folder / "in" / name) for name in NAMES]
    comparison = compare(Settings(weights, max_only={"precision": "bf16"}), images)
    text = _text(_write(comparison, folder, *comparison.cautions()).read_text())
    assert "bf16 is within its bounds 4 images through PyTorch and MAX" in text
    assert "what it costs in mAP, yolo-max val --engine both measures" in text
    assert "(bound" not in text
    unjudged = compare(Settings(weights, "ultralytics", max_only={"precision": "bf16"}), images)
    page = _write(unjudged, folder, *unjudged.cautions()).read_text()
    assert '<section class="card verdict unjudged">' in page
    assert "bf16 was not judged 4 images through Ultralytics and MAX" in _text(page)


def test_says_what_was_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _compare(folder, monkeypatch, max=comparisons.rounding())
    text = _text(_write(comparison, folder).read_text())
    assert "Parity holds 4 images through PyTorch and MAX with fake.safetensors at 64 × 64" in text
    assert f"{comparison.counts()['matched']} detections matched" in text
    times = "PyTorch 60.0 ms (threads 1); MAX 20.0 ms (threads 1). Not a benchmark: see yolo-max bench ."
    assert f"Time in the network, median per image: {times}" in text
    assert "×" not in text.replace("64 × 64", "")  # no speed-up: the engines had other work and other company
    assert "yolo-max 0.1.0" in text


def test_says_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = _write(_compare(folder, monkeypatch, max=comparisons.without_best), folder).read_text()
    text = _text(page)
    assert "Parity does not hold" in text
    assert "4 of 4 images out of bounds" in text
    assert "MAX lacks 1 of" in text
    assert page.count('<tr class="failed">') == 4


def test_says_what_casts_doubt_on_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = _write(_compare(folder, monkeypatch), folder, "A busy <machine>.", "Few pairs.")
    assert "A busy <machine>. Few pairs." in _text(page.read_text())
    record = json.loads(page.with_name("compare.json").read_text())
    assert record["warnings"] == ["A busy <machine>.", "Few pairs."]


def test_needs_nothing_but_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(_compare(folder, monkeypatch), folder)
    page = path.read_text()
    links = _parse(page).links
    assert sum(link.startswith("data:image/jpeg;base64,") for link in links) == 4
    for link in links:
        if not link.startswith("data:"):
            assert link.startswith("images/")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"data:[^\"]*", "", page))


def test_links_lead_to_the_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.parse import unquote

    path = _write(_compare(folder, monkeypatch), folder)
    links = [link for link in _parse(path.read_text()).links if not link.startswith("data:")]
    pictures = [path.parent / unquote(link) for link in links]
    assert sorted(picture.name for picture in pictures) == sorted(NAMES)
    for picture in pictures:
        assert read_image(picture).shape == (40, 128, 3)


def test_a_name_that_is_no_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.parse import unquote_to_bytes

    name = os.fsdecode(b"\xe9.png")
    monkeypatch.setattr(sys.modules[__name__], "NAMES", [name])
    write_image(folder / "in" / name, 0)
    links = _parse(_write(_compare(folder, monkeypatch), folder).read_text()).links
    assert b"images/\xe9.png" in [unquote_to_bytes(link) for link in links]


def test_names_are_not_markup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _compare(folder, monkeypatch)
    page = _write(replace(comparison, unreadable={"<script>x</script>": "<b>"}), folder).read_text()
    _parse(page)
    assert "<i>" not in page.partition("<tbody>")[2]
    assert "<script>x" not in page
    assert "<li>&lt;script&gt;x&lt;/script&gt;: &lt;b&gt;</li>" in page


def test_shows_layers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = (
        TensorDifference("model.0 Conv", 1e-5, 3.0, 2e-6, 1e-6),
        TensorDifference("model.1 C2f", 1.5, 3.0),
    )
    comparison = replace(_compare(folder, monkeypatch), layers=layers)
    page = _write(comparison, folder).read_text()
    assert "model.0 Conv 3 1.0e-05 0.0005 2.00" in _text(page)
    assert '<td class="over">1.5</td>' in page
    folded = page.index("<details")  # a long table, below the pictures
    assert page.index("</tbody>", page.index('id="images"')) < folded < page.index("model.0 Conv")


def test_captions_name_the_baseline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _compare(folder, monkeypatch)
    page = _write(comparison, folder).read_text()
    assert page.count('data-label="only PyTorch"') == page.count('data-label="only MAX"') == 4
    assert page.count('title="Sort by ') == 8


def test_a_folder_without_a_detection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(head: np.ndarray) -> np.ndarray:
        return np.full_like(head, -20)

    comparison = _compare(folder, monkeypatch, max=nothing, torch=nothing)
    assert comparison.verdict.holds
    _parse(_write(comparison, folder).read_text())


def test_infinite_differences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(head: np.ndarray) -> np.ndarray:
        head = head.copy()
        head[head[:, 64:].max(axis=1).argmin(), :64] = np.nan
        return head

    text = _text(_write(_compare(folder, monkeypatch, max=broken), folder).read_text())
    assert "inf" in text
    assert "nan" not in text


def test_pictures_that_were_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = _compare(folder, monkeypatch)
    page = render(comparison, {image.path: Picture(None, None) for image in comparison.images})
    assert _parse(page).links == []
    assert page.count("<tr><td") == 4 + 5  # images, and rows of the table of differences


# In a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=5000",
)
PROBE = """
<script>
addEventListener("load", function () {
  var said = [];
  addEventListener("error", function (event) { said.push("error " + event.message); });
  function names() {
    return Array.prototype.map.call(document.querySelectorAll("#images .name"), function (each) {
      return each.textContent;
    }).join("|");
  }
  var buttons = document.querySelectorAll("#images button");
  buttons[0].click(); said.push(names());
  buttons[0].click(); said.push(names());
  buttons[2].click();
  said.push(document.querySelectorAll("#images tbody tr")[0].cells[2].textContent);
  said.push(document.querySelectorAll("#images [aria-sort]").length);
  said.push(document.documentElement.scrollWidth <= innerWidth);
  said.push(Array.prototype.filter.call(document.querySelectorAll(".tile b, .scroll"), function (each) {
    return each.scrollWidth > each.clientWidth;
  }).length);
  said.push(Array.prototype.every.call(document.images, function (each) { return each.naturalWidth > 0; }));
  said.push(getComputedStyle(document.body).backgroundColor);
  var out = document.createElement("pre");
  out.id = "said";
  out.textContent = JSON.stringify(said);
  document.body.appendChild(out);
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the report with")
@pytest.mark.parametrize(
    ("width", "scheme"), [(500, "light"), (760, "dark"), (1000, "light"), (1280, "light"), (2200, "dark")]
)
def test_in_a_browser(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, width: int, scheme: str
) -> None:
    """It sorts, fits into the window, shows its pictures, and follows the scheme of the desktop."""
    monkeypatch.setattr("yolo_max.verify.compare.report._short", lambda value: f"{value + 4.4e-06:.1e}")
    comparison = _compare(folder, monkeypatch, fake_poser(), max=comparisons.without_best)  # the most figures
    page = _write(comparison, folder).read_text()
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", f"{PROBE}</body>"))
    done = subprocess.run(
        [
            str(CHROMIUM),
            *SWITCHES,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
            f"--screenshot={tmp_path / 'page.png'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout)
    assert found, done.stderr
    ascending, descending, *rest, background = json.loads(html.unescape(found[1]))
    assert ascending.split("|") == sorted(NAMES)
    assert descending.split("|") == ascending.split("|")[::-1]
    assert rest == ["1", 1, True, 0, True]
    assert background == ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(246, 247, 249)")
