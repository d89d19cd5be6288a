from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yolo_max
from yolo_max.output.draw import _outline, _Style, _usual_side
from yolo_max.output.draw import draw as draw_marks
from yolo_max.output.label_layout import Obstacles, leader
from yolo_max.output.palette import class_color
from yolo_max.output.text_rendering import _rendered, render_one
from yolo_max.support.options import DrawOptions
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.marks import BoxMark, LineMark, Marks, MaskMark, SkeletonMark, TrailMark

NAMES = {
    0: "person",
    1: "vélo",
    2: "信号機",
    3: "a name much longer than anything it could be put on",
    4: "two\nlines",
}


def found(boxes: list[Any], size: tuple[int, int], class_ids: list[int] | None = None) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.3, count).astype(np.float32),
        np.array(class_ids or [0] * count, np.int32),
        NAMES,
        size,
    )


def draw(image: np.ndarray, detections: Detections, **options: Any) -> np.ndarray:
    return draw_marks(image, detections.marks(), DrawOptions(**options))


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def has(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    mask: np.ndarray = (image == color).all(axis=2)
    return mask


def test_nothing_found_is_a_copy() -> None:
    image = gray(40, 60)
    annotated = draw(image, found([], (40, 60)))
    np.testing.assert_array_equal(annotated, image)
    assert not np.shares_memory(annotated, image)


def test_the_image_is_left_alone() -> None:
    image = gray(200, 300)
    draw(image, found([[10, 50, 200, 150]], (200, 300)))
    assert (image == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (20, 30), (200, 300), (1500, 2000)])
def test_lines_stand_one_below_the_other_in_the_upper_left_corner(size: tuple[int, int]) -> None:
    lines = tuple(
        LineMark(text, text.split()[0], i) for i, text in enumerate(["tabby 0.81", "lynx 0.09", "tiger 0.01"])
    )
    annotated = draw_marks(gray(*size), Marks(lines=lines))
    assert annotated.shape == (*size, 3)
    if min(size) < 200:
        return  # as much as fits
    tops = [np.flatnonzero(has(annotated, class_color(i)).any(axis=1))[[0, -1]] for i in range(3)]
    assert np.ravel(tops).tolist() == sorted(set(np.ravel(tops).tolist()))
    lefts = [np.flatnonzero(has(annotated, class_color(i)).any(axis=0))[0] for i in range(3)]
    assert len(set(lefts)) == 1
    for line in lines:
        label = render_one(line.text, _Style.of(*size).font_size, class_color(line.class_id))
        top = tops[line.class_id][0]
        shown = annotated[top : top + label.shape[0], lefts[0] : lefts[0] + label.shape[1]]
        np.testing.assert_array_equal(shown, label)


def test_a_box_has_the_color_of_its_class_on_all_four_sides() -> None:
    annotated = draw(gray(200, 300), found([[50, 60, 250, 160]], (200, 300), [1]))
    mask = has(annotated, class_color(1))
    for row, column in [(60, 150), (160, 150), (110, 50), (110, 250)]:
        assert mask[row - 1 : row + 2, column - 1 : column + 2].any()
    assert (annotated[100:140, 80:220] == 128).all()  # and nothing inside


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500), (500, 1), (5, 5), (32, 32), (64, 48), (480, 640), (1500, 2000)]
)
def test_any_size_of_image(size: tuple[int, int]) -> None:
    height, width = size
    boxes = [
        [0, 0, width, height],
        [width, height, width, height],
        [0, 0, 0, 0],
        [width / 3, 0, width / 2, height],
    ]
    annotated = draw(gray(*size), found(boxes, size, [0, 1, 2, 3]))
    assert annotated.shape == (height, width, 3)
    assert annotated.dtype == np.uint8
    assert has(annotated, class_color(0)).any()


@settings(max_examples=150)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    corners=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=8),
    class_ids=st.lists(st.integers(0, 4), min_size=8, max_size=8),
)
def test_any_boxes(height: int, width: int, corners: list[tuple[float, ...]], class_ids: list[int]) -> None:
    boxes = [
        [min(x1, x2) * width, min(y1, y2) * height, max(x1, x2) * width, max(y1, y2) * height]
        for x1, y1, x2, y2 in corners
    ]
    annotated = draw(gray(height, width), found(boxes, (height, width), class_ids[: len(boxes)]))
    assert annotated.shape == (height, width, 3)
    if boxes and class_ids[0] != 3 and min(height, width) >= 100:
        # The best box's label is on top, so its color is always seen where the label fits.
        assert has(annotated, class_color(class_ids[0])).any()


@pytest.mark.parametrize(
    ("xyxy", "expected"),
    [
        ([10, 20, 50, 60], (9, 19, 51, 61)),  # the line runs along the edge
        ([0, 0, 100, 100], (0, 0, 100, 100)),  # and inside the image
        ([100, 100, 100, 100], (98, 98, 100, 100)),
        ([-5, -5, 200, 200], (0, 0, 100, 100)),
        ([30, 30, 30, 30], (29, 29, 31, 31)),  # never thinner than itself
    ],
)
def test_outline(xyxy: list[int], expected: tuple[int, ...]) -> None:
    assert _outline(xyxy, 2, 100, 100) == expected


def test_sizes_grow_with_the_image_and_stay_legible() -> None:
    styles = [_Style.of(3 * n, 4 * n) for n in (8, 50, 80, 160, 270, 500, 1000, 2000)]
    assert [s.line_width for s in styles] == sorted(s.line_width for s in styles)
    assert [s.font_size for s in styles] == sorted(s.font_size for s in styles)
    assert styles[0] == _Style(1, 10)
    assert styles[3] == _Style(2, 13)
    assert styles[-1] == _Style(18, 60)


@pytest.mark.parametrize(
    ("size", "side", "line_width", "font_size"),
    [
        ((4000, 6000), 1000, 12, 60),  # as large as the picture asks for
        ((4000, 6000), 64, 4, 25),  # small objects of a picture that was predicted tile by tile
        ((4000, 6000), 10, 2, 10),
        ((1080, 1920), 300, 4, 26),
        ((480, 640), 20, 2, 10),  # no smaller than without
        ((72, 96), 20, 1, 10),
    ],
)
def test_small_objects_have_thin_lines(
    size: tuple[int, int], side: int, line_width: int, font_size: int
) -> None:
    assert _Style.of(*size, side=side) == _Style(line_width, font_size)
    boxes = [[10, 10, 10 + side, 10 + side]] * 3 + [[0, 0, size[1], size[0]]]  # the usual one counts
    assert _usual_side(found(boxes, size).marks()) == side


def test_marks_of_a_smaller_image() -> None:
    box = BoxMark((10, 20, 30, 40), 1, "a 0.5", "a", ((10, 20), (30, 20), (30, 40), (10, 40)), 7)
    skeleton = SkeletonMark(((10, 20), None))
    marks = Marks(
        (box,),
        (),
        (MaskMark("x", (4, 4), (10, 20, 30, 40)),),
        (skeleton,),
        (TrailMark(((2, 4), (6, 8)), 1, 7),),
    )
    half = marks.scaled(0.5)
    assert [half.boxes[0].xyxy, half.masks[0].xyxy] == [(5, 10, 15, 20)] * 2
    assert list(half.boxes[0].corners) == [(5, 10), (15, 10), (15, 20), (5, 20)]
    assert list(half.skeletons[0].points) == [(5, 10), None]
    assert list(half.trails[0].points) == [(1, 2), (3, 4)]
    assert half.scaled(2) == marks


@pytest.mark.parametrize("count", [30, 100, 300])
@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (4000, 6000)])
def test_labels_do_not_bury_a_crowded_picture(size: tuple[int, int], count: int) -> None:
    height, width = size
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 0.95, (count, 2))
    boxes = np.hstack([corners, corners + 0.04]) * (width, height, width, height)
    labelled = draw(gray(*size), found(boxes.tolist(), size))
    plain = draw(gray(*size), found(boxes.tolist(), size), show_labels=False)
    smallest = _Style.of(*size, 11 * count).font_size == 10  # it has to be legible
    assert 0.02 < (labelled != plain).any(axis=2).mean() < (1 / 3 if smallest else 0.2)


@pytest.mark.parametrize("size", [(190, 1_000_000), (1_000_000, 190), (300, 40_000)])
def test_a_long_strip_has_the_font_of_its_shorter_side(size: tuple[int, int]) -> None:
    assert _Style.of(*size).font_size <= 13
    assert _Style.of(*size).line_width <= 2


def test_the_width_of_lines_may_be_chosen() -> None:
    detections = found([[50, 60, 250, 160]], (200, 300))
    thick = has(draw(gray(200, 300), detections, line_width=9), class_color(0)).sum()
    thin = has(draw(gray(200, 300), detections, line_width=1), class_color(0)).sum()
    assert thick > thin


def test_the_width_of_lines_scales_the_font() -> None:
    style = _Style.of(480, 640)
    assert style.changed(DrawOptions()) == style
    assert style.changed(DrawOptions(line_width=4)) == _Style(4, 2 * style.font_size)
    assert style.changed(DrawOptions(line_width=1)).font_size == 10  # it has to be legible
    assert style.changed(DrawOptions(line_width=4, font_size=9)) == _Style(4, 9)
    assert style.changed(DrawOptions(line_width=10**6)).font_size == 256  # a letter takes memory
    assert style.changed(DrawOptions(font_size=10**6)).font_size == 256


def test_labels_or_their_confidences_may_be_hidden() -> None:
    image, detections = gray(200, 300), found([[50, 60, 250, 160]], (200, 300))
    bare = draw(image, detections, show_labels=False)
    assert (bare[:58] == 128).all()  # nothing above the box
    np.testing.assert_array_equal(bare[70:150, 60:240], image[70:150, 60:240])
    label = render_one("person", _Style.of(200, 300).font_size, class_color(0))
    height, width = label.shape[:2]
    shown = draw(image, detections, show_conf=False)
    np.testing.assert_array_equal(shown[59 - height : 59, 49 : 49 + width], label)
    assert (shown[40:58, 49 + width :] == 128).all()


def test_lines_are_labels() -> None:
    marks = Marks(lines=(LineMark("tabby 0.81", "tabby", 0),))
    image = gray(200, 300)
    np.testing.assert_array_equal(draw_marks(image, marks, DrawOptions(show_labels=False)), image)
    short = Marks(lines=(LineMark("tabby", "tabby", 0),))
    np.testing.assert_array_equal(
        draw_marks(image, marks, DrawOptions(show_conf=False)), draw_marks(image, short)
    )


def test_a_line_wider_than_the_image_covers_it() -> None:
    detections = found([[50, 60, 250, 160]], (200, 300))
    widest = draw(gray(200, 300), detections, line_width=200)
    assert (draw(gray(200, 300), detections, line_width=1000) == widest).all()
    assert has(widest, class_color(0)).mean() > 0.8


def test_a_label_says_the_class_and_the_confidence() -> None:
    image = draw(gray(200, 300), found([[50, 60, 250, 160]], (200, 300)))
    label = render_one("person 0.90", _Style.of(200, 300).font_size, class_color(0))
    height, width = label.shape[:2]
    np.testing.assert_array_equal(image[59 - height : 59, 49 : 49 + width], label)  # above the box


def test_a_line_break_in_a_class_name_is_a_space() -> None:
    detections = found([[50, 60, 250, 160]], (200, 300), [4])
    label = render_one("two lines 0.90", _Style.of(200, 300).font_size, class_color(4))
    height, width = label.shape[:2]
    np.testing.assert_array_equal(draw(gray(200, 300), detections)[59 - height : 59, 49 : 49 + width], label)


def test_leaders_are_drawn_in_the_color_of_the_box() -> None:
    boxes = [[140, 90, 160, 110]] * 12
    annotated = draw(gray(200, 300), found(boxes, (200, 300), [1] * 12))
    bare = draw(gray(200, 300), found(boxes, (200, 300), [1] * 12), show_labels=False)
    box = (139, 89, 161, 111)
    obstacles = Obstacles([box] * 12)
    label = render_one("vélo 0.90", _Style.of(200, 300).font_size, class_color(1))
    lines = [
        leader(obstacles.place(label.shape, (139, 89, 161, 111), 200, 300), (139, 89, 161, 111))
        for _ in boxes
    ]
    assert any(lines)
    changed = (annotated != bare).any(axis=2)
    for (x, y), (box_x, box_y) in filter(None, lines):
        assert changed[(y + box_y) // 2, (x + box_x) // 2]


def test_leaders_run_under_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = found([[140 + i, 90, 160 + i, 110] for i in range(12)], (200, 300), [i % 5 for i in range(12)])
    labels: list[tuple[int, int, int, int]] = []

    class Watched(Obstacles):
        def place(self, *arguments: Any) -> tuple[int, int, int, int]:
            labels.append(super().place(*arguments))
            return labels[-1]

    monkeypatch.setattr("yolo_max.output.draw.Obstacles", Watched)
    with_leaders = draw(gray(200, 300), marks)
    monkeypatch.setattr("yolo_max.output.draw.leader", lambda *_: None)
    leaders = (draw(gray(200, 300), marks) != with_leaders).any(axis=2)
    assert leaders.any()
    for left, top, right, bottom in labels:
        assert not leaders[top:bottom, left:right].any()


def test_threads_draw_the_same() -> None:
    _rendered.clear()
    image = gray(200, 300)
    jobs = [found([[10 * n, 30, 10 * n + 80, 150]], (200, 300), [n % 5]) for n in range(20)] * 5
    alone = [draw(image, job) for job in jobs]
    _rendered.clear()
    with ThreadPoolExecutor(8) as executor:
        together = list(executor.map(lambda job: draw(image, job), jobs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_users_draw_is_the_same() -> None:
    image, detections = gray(100, 100), found([[10, 30, 60, 90]], (100, 100))
    np.testing.assert_array_equal(yolo_max.draw(image, detections), draw(image, detections))


def test_a_forked_process_renders_on_a_thread_of_its_own() -> None:
    detections = found([[50, 60, 250, 160]], (200, 300))
    expected = draw(gray(200, 300), detections)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # or else it would wait for a thread that stayed behind
        os._exit(0 if (draw(gray(200, 300), detections) == expected).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_outlives_the_main_thread_can_draw() -> None:
    script = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from test_output_draw import draw, found, gray

def late():
    time.sleep(0.3)
    draw(gray(200, 300), found([[50, 60, 250, 160]], (200, 300)))
    print("drawn", flush=True)

threading.Thread(target=late).start()
"""
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("drawn\n", "")


def test_without_boxes_nothing_of_them_is_drawn_but_their_masks_and_skeletons() -> None:
    image = gray(100, 200)
    box = BoxMark((20, 20, 80, 60), 1, "a 0.90", "a")
    bare = DrawOptions(show_boxes=False)
    np.testing.assert_array_equal(draw_marks(image, Marks(boxes=(box,)), bare), image)
    skeleton = SkeletonMark(points=((50, 50),))
    assert (
        draw_marks(image, Marks(boxes=(box,), skeletons=(skeleton,)), bare)[50, 50] != image[50, 50]
    ).any()
    line = LineMark("tabby 0.90", "tabby", 0)
    assert (draw_marks(image, Marks(lines=(line,)), bare) != image).any()


@pytest.mark.parametrize(
    ("tracks", "colors"),
    [
        ((None, None), (0, 1)),  # by place
        ((7, 3), (7, 3)),  # by track, which is the same in every frame
    ],
)
def test_colors_by_instance(tracks: tuple[int | None, ...], colors: tuple[int, ...]) -> None:
    image, sides = gray(100, 200), [(10, 10, 60, 90), (100, 10, 150, 90)]
    boxes = tuple(BoxMark(xyxy, 5, "", "", track_id=track) for xyxy, track in zip(sides, tracks, strict=True))
    for mode, expected in (("instance", colors), ("class", (5, 5))):
        drawn = draw_marks(image, Marks(boxes=boxes), DrawOptions(color_mode=mode, show_labels=False))
        assert [tuple(drawn[50, left]) for left, *_ in sides] == [class_color(each) for each in expected]


def test_a_trail_has_the_color_of_its_box() -> None:
    box = BoxMark((20, 10, 60, 50), 2, "a 0.5", "a", (), 5)
    trail = TrailMark(((80, 100), (180, 100)), 2, 5)
    for mode, number in (("class", 2), ("instance", 5)):
        options = DrawOptions(show_labels=False, color_mode=mode, line_width=8)
        drawn = draw_marks(gray(120, 200), Marks((box,), trails=(trail,)), options)
        assert tuple(drawn[100, 170]) == tuple(drawn[10, 40]) == class_color(number)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("writeable", [False, True])
def test_an_image_is_drawn_on_only_if_it_may_be(in_place: bool, writeable: bool) -> None:
    image, box = gray(60, 80), BoxMark((20, 10, 60, 50), 2, "a 0.5", "a")
    before = image.copy()
    image.flags.writeable = writeable
    drawn = draw_marks(image, Marks((box,)), in_place=in_place)
    assert (drawn == draw_marks(before, Marks((box,)))).all()
    assert (image == before).all() != (in_place and writeable)
