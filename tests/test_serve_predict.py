"""What a request brings, and what comes back."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import brightness, fake_classifier, fake_poser, poser
from image_files import encode, files_of, scene
from served import Answer, Served, serving

from yolo_max.images.read import decode
from yolo_max.predict.predictor import Predictor
from yolo_max.serve.answers import kind_wanted, record_of
from yolo_max.serve.errors import RequestError

IMAGE = encode(scene(), "PNG")
LARGE = encode(scene(1001, 1000), "PNG")
LONG = "x" * 10**5


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(max_bytes=2**18) as server:
        yield server


def form(*parts: tuple[str, bytes], file: bytes | None = IMAGE, name: str = "file") -> tuple[bytes, str]:
    """A form and its media type."""
    fields = [(f'name="{field}"', value) for field, value in parts]
    if file is not None:
        fields.append((f'name="{name}"; filename="../../etc/passwd"', file))
    body = b"".join(
        f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        for head, value in fields
    )
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


def as_json(**fields: Any) -> bytes:
    return json.dumps({"image": base64.b64encode(IMAGE).decode(), **fields}).encode()


def post_form(served: Served, *parts: tuple[str, bytes], **more: Any) -> Answer:
    body, kind = form(*parts, **more)
    return served.ask(body, Content_Type=kind)


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "times_ms"}


def test_every_form_of_a_request_gets_the_record_that_predict_writes(served: Served) -> None:
    expected = without_times(json.loads(json.dumps(record_of(served.predictor.result(IMAGE)))))
    assert len(expected["boxes"]) > 0
    assert "path" not in expected
    answers = [
        served.ask(IMAGE),
        served.ask(IMAGE, Content_Type="image/png"),
        served.ask(IMAGE, Content_Type="image/jpeg"),  # the content decides, not what it is called
        served.ask(IMAGE, Content_Type="application/x-www-form-urlencoded"),  # what curl says by itself
        post_form(served),
        post_form(served, name="image"),
        served.ask(as_json(), Content_Type="application/json; charset=utf-8"),
        served.ask(
            as_json(image="data:image/png;base64," + base64.b64encode(IMAGE).decode()),
            Content_Type="application/json",
        ),
    ]
    for answer in answers:
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert without_times(answer.json) == expected
        assert set(answer.json["times_ms"]) == {"decode", "letterbox", "infer", "postprocess"}


@pytest.mark.parametrize("format_name", sorted(files_of(scene(24, 32))))
def test_every_format_is_read(served: Served, format_name: str) -> None:
    answer = served.ask(files_of(scene(24, 32))[format_name])
    assert answer.status == 200
    assert answer.json["image_size"] == [24, 32]


def test_options_may_be_in_the_query_the_form_or_the_json(served: Served) -> None:
    expected = [served.predictor(IMAGE, conf=0.9, classes=[0, 2], max_det=2).to_dict()["boxes"]] * 3
    query = "conf=0.9&classes=circle&classes=2&max_det=2"
    answers = [
        served.ask(IMAGE, f"/predict?{query}"),
        post_form(served, ("conf", b"0.9"), ("classes", b"circle,star"), ("max_det", b"2")),
        served.ask(as_json(conf=0.9, classes=["circle", 2], max_det=2), Content_Type="application/json"),
    ]
    assert [answer.json["boxes"] for answer in answers] == expected


@pytest.mark.parametrize(("accept", "format_name"), [("image/jpeg", b"\xff\xd8"), ("image/png", b"\x89PNG")])
def test_the_annotated_image(served: Served, accept: str, format_name: bytes) -> None:
    answer = served.ask(IMAGE, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, accept)
    assert answer.body.startswith(format_name)
    drawn = served.predictor.result(IMAGE, keep_image=True).plot()
    got = decode(answer.body)
    if accept == "image/png":
        np.testing.assert_array_equal(got, drawn)
    hidden = decode(served.ask(IMAGE, "/predict?show_labels=0&line_width=1", Accept="image/png").body)
    assert (hidden != drawn).any()


def test_a_larger_picture_arrives_whole(served: Served) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
    image = encode(cv2.GaussianBlur(noise, (0, 0), 3), "JPEG")
    answer = served.ask(image, Accept="image/png")
    assert decode(answer.body).shape == (500, 700, 3)
    assert len(answer.body) > 2**18  # several pieces


@pytest.mark.parametrize(
    ("weights", "network", "has"),
    [(fake_classifier, brightness, "top5"), (fake_poser, poser, "kpt_shape")],
)
def test_any_task_is_served(weights: Any, network: Any, has: str) -> None:
    with serving(predictor=Predictor(weights(), engine=network)) as served:
        assert has in served.ask(IMAGE).json
        assert served.ask(IMAGE, Accept="image/jpeg").status == 200
        answer = served.ask(IMAGE, "/predict?iou=0.5")
        assert answer.status == (422 if has == "top5" else 200)  # what means nothing is said, not ignored


JSON = "application/json"
FORM_OF_PAGES = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        # What is no image, and what is a damaged one.
        (b"hello", "image/png", 415, "the image cannot be read: it is not an image; JPEG, "),
        (b"%PDF-1.7", "image/png", 415, "the image cannot be read: it is a PDF; "),
        (b"", "image/png", 422, "the image cannot be read: it is empty."),
        (IMAGE[:-20], "image/png", 422, "the image cannot be read: "),
        (
            encode(scene(1001, 1000), "PNG"),
            "image/png",
            413,
            "the image is too large: its 1000 x 1001 pixels are more than the limit of 1,000,000, "
            "which --max-pixels of the server raises.",
        ),
        (bytes(2**18 + 1), "image/png", 413, "the body has more than the 262,144 bytes that are taken, "),
        # What is said of it.
        (b"conf=0.5&url=x", FORM_OF_PAGES, 415, f"the body is {FORM_OF_PAGES}; "),
        (b"", FORM_OF_PAGES, 415, f"the body is {FORM_OF_PAGES}; "),
        (IMAGE[:-20], FORM_OF_PAGES, 422, "the image cannot be read: "),
        (IMAGE, "text/plain\t; a=b", 415, "the body is text/plain; "),
        # JSON.
        (b"{", JSON, 400, "the body is not JSON."),
        (b"\xff", JSON, 400, "the body is not JSON."),
        (b"[" * 100_000, JSON, 400, "the body is not JSON."),
        (b'{"a": ' * 50_000, JSON, 400, "the body is not JSON."),
        (b"[" + b"1," * 20_000 + b"1]", JSON, 422, "the JSON has too many values."),
        (b"[1]", JSON, 422, "the JSON must be an object"),
        (b"{}", JSON, 422, 'the JSON must have either "image", in base64, or "url".'),
        (b'{"image": 7}', JSON, 422, 'the JSON must have either "image"'),
        (as_json(url="http://example.org/a.jpg"), JSON, 422, 'the JSON must have either "image"'),
        (b'{"image": "####"}', JSON, 422, '"image" is not base64.'),
        (b'{"image": "\\u00e9"}', JSON, 422, '"image" is not base64.'),
        (b'{"url": "http://example.org/a.jpg"}', JSON, 422, "addresses are not fetched here"),
        # Forms.
        (form(file=None)[0], form()[1], 422, "the form has no file; add one, "),
        (form(("file", IMAGE[:50]), file=None)[0], form()[1], 422, "the form has no file"),
        (form()[0], "multipart/form-data", 400, "the form cannot be read: Missing boundary in multipart."),
        (b"--c--", form()[1], 400, "the form cannot be read: Invalid multipart data."),
        (form(("conf", b"1" * 2**15))[0], form()[1], 400, "the form cannot be read: Part exceeded"),
        (form(*[("a", b"1")] * 30)[0], form()[1], 400, "the form cannot be read: Too many fields"),
        (form()[0][:-7] + form()[0], form()[1], 400, "the form cannot be read: Too many files"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    served: Served, body: bytes, kind: str, status: int, sentence: str
) -> None:
    answer = served.ask(body, Content_Type=kind)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.error.startswith(sentence)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("conf=2", "conf is 2.0, but it must lie between 0 and 1."),
        ("conf=nan", "conf is nan, but it must lie between 0 and 1."),
        ("conf=x", "conf is 'x', which is not a value for it."),
        ("conf=0", "conf is 0.0, but here it must be at least 0.001."),  # thousands of boxes
        ("max_det=301", "max_det is 301, but it must be a whole number from 1 to 300."),
        ("agnostic_nms=maybe", "agnostic_nms is 'maybe', which is not a value for it."),
        ("line_width=5000", "line_width is 5000, but it must be a whole number from 1 to 100."),
        ("font_size=5000", "font_size is 5000, but it must be a whole number from 1 to 200."),
        ("classes=cat", "the model has no class 'cat'; it knows circle, square, star."),
        ("classes=", "classes is empty"),
        ("color_mode=7", "color_mode is '7', "),
        ("clases=star", "there is no option 'clases'; did you mean classes?"),
        # What concerns the server is none of a client's business.
        ("weights=/etc/passwd", "there is no option 'weights'; use one of conf, iou, "),
        ("source=/etc/passwd", "there is no option 'source'; use one of conf, iou, "),
        ("max_pixels=1000000000", "there is no option 'max_pixels'; use one of conf, iou, "),
        ("retina_masks=1", "there is no option 'retina_masks'; use one of conf, iou, "),
    ],
)
def test_an_option_that_makes_no_sense_is_a_sentence(served: Served, query: str, sentence: str) -> None:
    answer = served.ask(IMAGE, f"/predict?{query}")
    assert answer.status == 422
    assert answer.error.startswith(sentence)


@pytest.mark.parametrize(
    "field",
    [
        *(
            {name: LONG}
            for name in ("conf", "max_det", "agnostic_nms", "classes", "color_mode", "line_width")
        ),
        *({name: [LONG]} for name in ("conf", "max_det", "agnostic_nms", "classes", "color_mode")),
        {"conf": {LONG: LONG}},
        {"url": f"ftp://{LONG}"},
        {LONG: 1},
    ],
    ids=lambda field: f"{str(next(iter(field)))[:20]}-{type(next(iter(field.values()))).__name__}",
)
def test_a_refusal_is_short_whatever_is_refused(served: Served, field: dict[str, Any]) -> None:
    """No budget counts its bytes."""
    image = {} if "url" in field else {"image": base64.b64encode(IMAGE).decode()}
    answer = served.ask(json.dumps({**image, **field}).encode(), Content_Type="application/json")
    assert answer.status == 422
    assert len(answer.error) <= 500


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/jpeg"),
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("text/html, application/json;q=0.1, image/png;q=0.2", "image/png"),
        ("application/json;q=0, */*", "image/jpeg"),  # anything but
        ("IMAGE/PNG", "image/png"),
        ("image/png;q=much, */*;q=0.1", "application/json"),
        ("text/html", None),
        ("*/*;q=0", None),
    ],
)
def test_the_kind_of_answer_is_what_the_client_likes_best(accept: str, kind: str | None) -> None:
    if kind is not None:
        assert kind_wanted(accept) == kind
        return
    with pytest.raises(
        RequestError, match="an answer is application/json, image/jpeg or image/png"
    ) as caught:
        kind_wanted(accept)
    assert caught.value.status == 406


def test_routes_that_are_not_there(served: Served) -> None:
    assert served.ask(None, "/nothing").status == 404
    assert served.ask(None, "/../../etc/passwd").status == 404
    assert served.ask(None, "/predict").status == 405
    assert "see /docs" in served.ask(None, "/predict").error
    assert served.ask(IMAGE, Content_Encoding="gzip").status == 415
    assert served.ask(IMAGE, Accept="text/html").status == 406


def test_the_description_has_what_is_accepted(served: Served) -> None:
    description = served.ask(None, "/openapi.json").json
    route = description["paths"]["/predict"]["post"]
    names = [each["name"] for each in route["parameters"]]
    assert names == list(served.service.accepted.fields)
    assert {"conf", "classes", "line_width"} <= set(names)
    assert set(route["requestBody"]["content"]) == {
        *("image/*", "application/octet-stream", "multipart/form-data", "application/json")
    }
    assert {"200", "401", "403", "413", "415", "422", "429", "503"} <= set(route["responses"])
    assert "503" in description["paths"]["/health"]["get"]["responses"]
    assert {"401", "403"} <= set(description["paths"]["/metrics"]["get"]["responses"])
    page = served.ask(None, "/docs").body.decode()
    assert all(name in page for name in names)


def test_the_description_of_values_is_what_is_done(served: Served) -> None:
    route = served.ask(None, "/openapi.json").json["paths"]["/predict"]["post"]
    schemas = {each["name"]: each["schema"] for each in route["parameters"]}
    assert schemas["conf"]["default"] == served.predictor.options.conf
    assert schemas["color_mode"]["enum"] == ["class", "instance"]
    for name, schema in schemas.items():
        accepted = schema.get("enum", [])
        if "minimum" in schema:
            step = 1 if schema["type"] == "integer" else 1e-4
            accepted = [schema["minimum"], schema["maximum"]]
            for value in (accepted[0] - step, accepted[1] + step):
                assert served.ask(IMAGE, f"/predict?{name}={value}").status == 422, (name, value)
        for value in [*accepted, *([schema["default"]] if "default" in schema else [])]:
            assert served.ask(IMAGE, f"/predict?{name}={value}").status == 200, (name, value)


@pytest.mark.parametrize("allow_remote", [False, True])
def test_addresses_are_described_where_they_are_fetched(allow_remote: bool) -> None:
    with serving(allow_remote=allow_remote) as served:
        route = served.ask(None, "/openapi.json").json["paths"]["/predict"]["post"]
        for kind in ("multipart/form-data", "application/json"):
            assert ("url" in route["requestBody"]["content"][kind]["schema"]["properties"]) == allow_remote
        assert ("<code>url</code>" in served.ask(None, "/docs").body.decode()) == allow_remote


def test_the_page_names_each_metric(served: Served) -> None:
    served.ask(IMAGE)
    text = served.ask(None, "/metrics").body.decode()
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE yolo_max_")}
    page = (Path(__file__).parents[1] / "docs/serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(yolo_max_\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == {name for name in shown if not name.endswith("_created")}
    stages = set(re.findall(r'yolo_max_stage_seconds_count{stage="(\w+)"}', text))
    assert stages == set(re.findall(r"`(\w+)`", dict(rows)["yolo_max_stage_seconds"])) - {"stage"}


def test_the_metrics_count(served: Served) -> None:
    def counted() -> dict[str, float]:
        lines = served.ask(None, "/metrics").body.decode().splitlines()
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    before = counted()
    served.ask(IMAGE)
    served.ask(b"no image")
    served.ask(None, "/somewhere")
    after = counted()
    good, bad, other = (
        f'yolo_max_requests_total{{path="{path}",status="{status}"}}'
        for path, status in (("/predict", 200), ("/predict", 415), ("other", 404))
    )
    for name in (good, bad, other, "yolo_max_images_total", 'yolo_max_stage_seconds_count{stage="infer"}'):
        assert after[name] == before.get(name, 0) + 1
    assert after["yolo_max_waiting"] == 0
    assert "process_resident_memory_bytes" in after


def test_a_mistake_of_ours_is_a_sentence_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(batch: Any) -> Any:
        raise ZeroDivisionError("a secret")

    with serving(predictor=Predictor(fake_classifier(), engine=broken)) as served:
        answer = served.ask(IMAGE)
        assert answer.status == 500
        assert answer.error == "something went wrong here; the server's log says what."
        assert 'status="500"' in served.ask(None, "/metrics").body.decode()
    assert "a secret" in caplog.text
