"""The page, tables and plots of a benchmark, from made-up results."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from yolo_max import cli
from yolo_max.bench import cold, plan
from yolo_max.bench.engines import ENGINES
from yolo_max.bench.plan import Case, Plan
from yolo_max.bench.report import plots, write
from yolo_max.bench.report.charts import charts
from yolo_max.bench.report.summary import summarise
from yolo_max.bench.report.tables import headline, tables
from yolo_max.bench.report.text import markdown, show
from yolo_max.bench.results import BenchResults, CaseResult, ColdStart, Parity, Participant, StreamPoint
from yolo_max.runtime import host
from yolo_max.support.errors import ExitCode


@pytest.fixture
def full() -> BenchResults:
    """Results of every scenario for every engine of the registry, made up."""
    rng = np.random.default_rng(0)
    whole = Plan((640, 640), 2)
    speed = {each.key: 20 + 9 * i for i, each in enumerate(ENGINES)}

    def rounds(case: Case, key: str) -> list[list[float]]:
        ms = speed[key] * case.batch * case.height * case.width / 640**2 * 2 / case.threads
        return [list(ms * rng.uniform(1, 1.2, 9)) for _ in range(5)]

    parity = Parity(True, 1.2e-4, 26.0, 1.3e-3, "parity holds")
    keys = list(speed)
    return BenchResults(
        plan=whole,
        against="torch",
        version="0",
        started="2026-01-01T00:00:00+00:00",
        host={**host.record(), "pinned_to": [0, 1], "others_cpu_share": 0.01, "command": ["yolo-max", "<b>"]},
        weights={"file": "yolov8n.pt", "sha256": "0" * 64, "classes": 80, "parameters": 1},
        images={"count": 8, "parity": ["a.jpg"]},
        engines=[
            Participant(e.key, e.label, e.precision, versions={"package": "1.2.3"}, parity=parity)
            for e in ENGINES
        ],
        cases=[
            CaseResult(case, [keys] * 5, {key: rounds(case, key) for key in keys}) for case in whole.cases()
        ],
        stages={key: [[dict.fromkeys(plan.STAGES, 3.0) | {"infer": speed[key]}]] for key in keys},
        cold=[
            ColdStart(key, cache, dict.fromkeys(plan.PHASES, ms), 300.0)
            for key in keys
            for cache, ms in (("empty", 9000.0), ("warm", 400.0))
        ]
        + [ColdStart(cold.COMMAND, "warm", {"total": 1900.0})],
        stream=[StreamPoint(count, 30.0, 410.0) for count in plan.GROWTH_IMAGES],
        notes=["A note with <i>markup</i> in it."],
    )


def render(results: BenchResults) -> str:
    figures = summarise(results)
    return write.render(results, figures, tables(results, figures), charts(results, figures))


def test_the_page_needs_nothing_but_itself(full: BenchResults) -> None:
    html = render(full)
    assert "<script" not in html
    for reference in re.findall(r"""(?:src|href|url\(|@import)\s*[=(]?\s*["']?([^"'\s>)]*)""", html):
        pytest.fail(f"the page refers to {reference}")
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert html.count("<svg") == len(charts(full, summarise(full))) == 11


def test_the_page_shows_text_as_text(full: BenchResults) -> None:
    html = render(full)
    assert "<i>markup</i>" not in html
    assert "A note with &lt;i&gt;markup" in html
    assert "&lt;b&gt;" in html


def test_names_in_charts_are_not_markup(full: BenchResults) -> None:
    """A bench.json may come from anywhere."""
    full.engines[0].label = name = '"/><script>$x_1$</script>'
    elements = [
        element
        for chart in charts(full, summarise(full))
        for element in ElementTree.fromstring(plots.svg(chart)).iter()
    ]
    assert not [element for element in elements if element.tag.endswith("script")]
    assert name in [element.text for element in elements]


def test_another_precision_is_marked_wherever_it_appears(full: BenchResults) -> None:
    for table in tables(full):
        for row in table.rows:
            assert ("bf16" in row[0]) == row[0].endswith("*")
    assert "OpenVINO bf16*" in render(full)


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_tables_fit_the_terminal(full: BenchResults, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    figures = summarise(full)
    console = Console(width=width)
    show(tables(full, figures), headline(full, figures), console)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]  # nothing was cut off


def test_cells_carry_their_headings(full: BenchResults) -> None:
    """On a telephone a table of words is one cell a line, with its heading in front."""
    html = render(full)
    assert '<td data-label="engine">MAX fused f32</td>' in html
    assert '<td data-label="state">ran</td>' in html
    assert '<td data-label="letterbox">' in html  # in one piece, whatever was broken for the terminal


def test_charts_are_narrow_enough_to_be_read_on_a_telephone(full: BenchResults) -> None:
    """Their text is 14 px at full width, and no less than 9 in the 330 px that a chart has there."""
    widths = {int(width) for width in re.findall(r'viewBox="0 0 (\d+) ', render(full))}
    assert widths
    assert all(14 * 330 / width > 9 for width in widths)


def test_the_peer_that_is_ahead_is_named(full: BenchResults) -> None:
    for case in full.cases:
        case.samples["openvino"] = [[sample / 2 for sample in each] for each in case.samples["max"]]
    sentences = headline(full, summarise(full))
    assert [text for text in sentences if text.endswith("OpenVINO f32 is ahead.")] == [
        "MAX fused f32 is 0.50 times as fast as OpenVINO f32 [0.50–0.50]: OpenVINO f32 is ahead."
    ]


def test_a_busy_machine_gives_no_ratio(full: BenchResults) -> None:
    full.host["others_cpu_share"] = 0.84
    sentence = "No ratio: other processes took 84% of this machine's CPU time."
    assert headline(full, summarise(full)) == [sentence]
    html = render(full)
    assert sentence.replace("'", "&#39;") in html
    assert 'class="lead"' not in html


def test_one_round_has_no_quartiles(full: BenchResults) -> None:
    """Their width would be zero, which reads as certainty."""
    for case in full.cases:
        case.samples = {key: rounds[:1] for key, rounds in case.samples.items()}
    once = replace(full, plan=replace(full.plan, rounds=1))
    assert not [text for text in headline(once, summarise(once)) if "[" in text]
    (table,) = (each for each in tables(once) if each.name == "single-stream")
    assert not [row for row in table.rows if "[" in row[-1]]
    html = render(once)
    assert "1 interleaved round in" in html
    lead = re.compile(r"×</b>.*?</div>", re.DOTALL)
    assert not [text for text in lead.findall(html) if " to " in text]
    assert all(" to " in text for text in lead.findall(render(full)))


def test_markdown_has_a_cell_for_each_header(full: BenchResults) -> None:
    for table in tables(full):
        rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(table.headers) + 1}
        assert len(rows) == len(table.rows) + 2


def test_a_run_without_anything_but_engines_can_be_shown(full: BenchResults) -> None:
    bare = replace(full, cases=[], stages={}, cold=[], stream=[])
    assert [table.name for table in tables(bare)] == ["engines"]
    assert charts(bare, summarise(bare)) == []
    assert "<svg" not in render(bare)


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (10, [0, 2, 4, 6, 8, 10]),
        (0.7, [0, 0.2, 0.4, 0.6, 0.8]),
        (103, [0, 25, 50, 75, 100, 125]),
        (0, [0, 1]),
    ],
)
def test_ticks_are_round_and_reach_beyond_the_data(high: float, expected: list[float]) -> None:
    assert plots.ticks(high) == pytest.approx(expected)


def test_plots_are_drawn_as_files_too(full: BenchResults, tmp_path: Path) -> None:
    drawn = charts(full, summarise(full))[:3]
    for path in plots.write(drawn, tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_value_is_said_under_the_pointer(full: BenchResults) -> None:
    drawn = [plots.svg(chart) for chart in charts(full, summarise(full))]
    assert all(svg.count("<title>") > 1 for svg in drawn)
    assert "<title>OpenVINO bf16*, infer: 83 ms, 85%</title>" in "".join(drawn)


def test_a_page_without_matplotlib_says_what_is_missing(
    full: BenchResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    figures = summarise(full)
    (html,) = write.write_page(full, figures, tables(full, figures), tmp_path)
    assert "pip install matplotlib" in html.read_text()
    assert "<svg" not in html.read_text()


def test_a_run_can_be_shown_again(
    full: BenchResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "write", lambda charts, folder: [])
    (tmp_path / "old.json").write_text(full.to_json())
    out = tmp_path / "out"
    command = [
        "bench",
        "--from",
        str(tmp_path / "old.json"),
        "--out",
        str(out),
        "--against",
        "openvino",
        "--json",
    ]
    assert cli.run(command) == ExitCode.OK
    figures = json.loads(capsys.readouterr().out)
    assert figures["against"] == "openvino"
    assert figures["single_stream"]["openvino"]["speed_up"]["median"] == 1
    assert (out / "bench.html").read_text() == render(replace(full, against="openvino"))
    assert not (out / "bench.json").exists()  # nothing was measured
    assert cli.run(["bench", "--from", str(tmp_path / "none.json"), "--out", str(out)]) == ExitCode.SOURCE


def test_an_earlier_run_is_shown_where_it_lies_and_stays_as_it_is(
    full: BenchResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "write", lambda charts, folder: [])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    earlier = tmp_path / "old" / "bench.json"
    earlier.parent.mkdir()
    earlier.write_text(full.to_json())
    assert cli.run(["bench", "--from", str(earlier), "--against", "max"]) == ExitCode.OK
    said = "".join(capsys.readouterr().err.split())
    assert said.endswith(f"Wrote{earlier.with_name('bench.html')},{earlier.with_name('plots')}.")
    assert earlier.read_text() == full.to_json()
    assert not list((tmp_path / "here").iterdir())
