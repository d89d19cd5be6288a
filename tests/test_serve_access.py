"""Who may ask, and how a token gets there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from image_files import encode, scene
from served import serving

from yolo_max.serve.access import MIN_TOKEN, read_token
from yolo_max.support.errors import UsageError

IMAGE = encode(scene(), "PNG")
TOKEN = "0123456789abcdef"


def test_with_a_token_only_who_has_it_is_answered() -> None:
    with serving(token=TOKEN) as served:
        for path, body in (("/predict", IMAGE), ("/metrics", None), ("/names", None), ("/nothing", None)):
            for given in (
                "",
                TOKEN,
                f"Bearer {TOKEN}x",
                f"Bearer {TOKEN[:-1]}",
                f"Basic {TOKEN}",
                "Bearer é",
            ):
                answer = served.ask(body, path, Authorization=given)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert answer.error.startswith("a token is needed")
            assert served.ask(body, path, Authorization=f"Bearer {TOKEN}").status != 401
        assert served.ask(IMAGE, Authorization=f"Bearer {TOKEN}").status == 200
        # What has no data of anybody, and what a load balancer asks.
        for path in ("/", "/docs", "/openapi.json", "/health"):
            assert served.ask(None, path).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        # An address leads where it says, whoever names it.
        ({"Host": "192.0.2.1:8000"}, 200),
        ({"Host": "[2001:db8::1]:8000"}, 200),
        # A name that whoever started it has named.
        ({"Host": "Yolo.example:8000"}, 200),
        ({"Host": "yolo.example", "Origin": "http://yolo.example"}, 200),
        # A name that somebody else makes lead here (DNS rebinding).
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "yolo.example.evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        # A page of another site, in the browser of somebody who may ask.
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8000", "Host": "localhost:8000"}, 200),
        ({"Origin": "http://localhost:9000", "Host": "localhost:8000"}, 403),
    ],
)
def test_no_page_of_another_site_may_ask(headers: Mapping[str, str], status: int) -> None:
    with serving(hosts=["yolo.Example"]) as served:
        assert served.ask(IMAGE, **headers).status == status


def test_a_token_stands_in_for_the_checks_of_browsers() -> None:
    """Behind a proxy the server has another name."""
    with serving(token=TOKEN) as served:
        answer = served.ask(IMAGE, Host="yolo.example.org", Authorization=f"Bearer {TOKEN}")
        assert answer.status == 200


def test_a_token_is_read_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    assert read_token(None, {}) is None
    assert read_token(None, {"YOLO_MAX_TOKEN": f" {TOKEN}\n"}) == TOKEN
    assert read_token(file, {"YOLO_MAX_TOKEN": "another token altogether"}) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (TOKEN, 0o644, "can be read by other users; chmod 600 it."),
        (TOKEN, 0o620, "can be read by other users"),
        (TOKEN[: MIN_TOKEN - 1], 0o600, "a token must have at least 16 characters"),
        ("", 0o600, "a token must have at least 16 characters"),
        ("two words in the file", 0o600, "and without spaces"),
        ("a token of é and others", 0o600, "of ASCII"),
        (None, 0o600, r"the token in .* cannot be read \(No such file or directory\)"),
    ],
)
def test_a_token_that_protects_nothing_is_refused(
    content: str | None, mode: int, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
    with pytest.raises(UsageError, match=message):
        read_token(file, {})
