"""Fetching official weights: through Ultralytics' downloader, from a server of the test's own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from yolo_max import cli
from yolo_max.model.architecture import parse_architecture
from yolo_max.support.errors import ExitCode, UsageError, WeightsError
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.fetch import fetch
from yolo_max.weights.load import load_weights
from yolo_max.weights.locate import OFFICIAL, not_ported


class Server:
    """Serves files by their name, as GitHub's release page does, and remembers what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                content = server.files.get(self.path.rpartition("/")[2])
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in GitHub's place."""
    import_ultralytics()
    from ultralytics.utils import downloads

    served = Server()
    threading.Thread(target=served.http.serve_forever, daemon=True).start()
    real: Callable[..., Any] = downloads.safe_download

    def redirected(url: str, *args: Any, **options: Any) -> Any:
        assert url.startswith("https://github.com/ultralytics/assets/releases/download/")
        return real(url.replace("https://github.com", served.url), *args, **options)

    monkeypatch.setattr(downloads, "safe_download", redirected)
    monkeypatch.setenv("YOLO_OFFLINE", "true")  # one attempt, instead of half a minute of them
    yield served
    served.http.shutdown()
    served.http.server_close()


def test_a_model_is_downloaded_once_and_then_found_by_name(
    server: Server, checkpoint: bytes, cache: Path
) -> None:
    server.files["yolov8n.pt"] = checkpoint
    fetched = fetch("yolov8n")
    assert fetched.path == cache / "yolov8n.pt"
    assert fetched.path.stat().st_mode & 0o777 == 0o600  # a file that others could write would not be read
    assert fetched.meta.source == "yolov8n.pt"
    assert load_weights("yolov8n").sha256 == fetched.sha256
    assert fetch("yolov8n.pt").sha256 == fetched.sha256
    assert len(server.requests) == 1
    assert fetch("yolov8n", force=True).sha256 == fetched.sha256
    assert len(server.requests) == 2
    assert not list(cache.glob(".*"))
    assert not list(Path.cwd().iterdir())


def test_a_file_of_that_name_in_the_working_directory_is_not_taken(server: Server, checkpoint: bytes) -> None:
    server.files["yolov8s.pt"] = checkpoint
    Path("yolov8s.pt").write_bytes(b"something else")
    fetch("yolov8s")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"yolov8n.pt could not be downloaded \(.*; check the connection"),
        (b"<!DOCTYPE html>" + b" " * 200_000, "the downloaded yolov8n.pt cannot be used: .* is an HTML"),
        (b"PK\x03\x04" + bytes(200_000), "the downloaded yolov8n.pt cannot be used: .* truncated or damaged"),
        (b"tiny", "yolov8n.pt could not be downloaded"),
    ],
    ids=["absent", "a web page", "damaged", "too small"],
)
def test_a_bad_download_leaves_nothing(
    server: Server, cache: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        server.files["yolov8n.pt"] = content
    with pytest.raises(WeightsError, match=message) as caught:
        fetch("yolov8n")
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


def test_a_bad_download_does_not_replace_a_good_one(server: Server, checkpoint: bytes) -> None:
    server.files["yolov8n.pt"] = checkpoint
    good = fetch("yolov8n")
    server.files["yolov8n.pt"] = b"PK\x03\x04" + bytes(200_000)
    with pytest.raises(WeightsError):
        fetch("yolov8n", force=True)
    assert load_weights("yolov8n").sha256 == good.sha256


def test_every_model_that_ultralytics_offers_is_official_or_not_ported() -> None:
    import_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    offered = {name.removesuffix(".pt") for name in GITHUB_ASSETS_NAMES if name.endswith(".pt")}
    assert len(set(OFFICIAL)) == len(OFFICIAL)
    assert set(OFFICIAL) == {name for name in offered if not_ported(name) is None}


YAMLS = {
    # an official name's ending: that of its YAML
    r"(yolov[35].*)u$": r"\1",
    r"(yolov5\w)6": r"\1-p6",
    r"-(oiv7|distill|objv1-150)$": "",
    r"-objv1-seg$": "-seg",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_models_are_ported(name: str) -> None:
    import_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    for official, yaml in YAMLS.items():
        name = re.sub(official, yaml, name)
    parse_architecture(yaml_model_load(f"{name}.yaml")).require()


def test_each_family_is_fetched_by_name(server: Server, checkpoint: bytes, cache: Path) -> None:
    for name in ("yolo11n", "yolo26n-cls", "yolov10b", "yolov5nu", "yolov3u"):
        server.files[f"{name}.pt"] = checkpoint
        assert fetch(name).path == cache / f"{name}.pt"


def test_offline_is_one_sentence(server: Server, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    server.http.shutdown()
    server.http.server_close()
    assert cli.run(["weights", "fetch", "yolov8n"]) == ExitCode.WEIGHTS
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: yolov8n.pt could not be downloaded")
    assert "check the connection" in error
    assert str(cache) in error


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolov9n", "did you mean yolov9t"),
        ("yolo8s", "did you mean yolov8s"),
        ("yolov8", "did you mean"),
        ("yolov8n-sem", "no official model 'yolov8n-sem'; take one of yolo26, yolo11"),
        # published, but not ported
        ("yolo11n-grayscale", "yolo11n-grayscale is a network for images of one channel, which is not"),
        ("yolov8s-world.pt", "yolov8s-world is an open-vocabulary network, which is not ported; take"),
        ("yolo26n-depth", "yolo26n-depth is a depth estimation network, which is not ported"),
        ("sam2.1_b", "is a segmentation network that is prompted, which is not ported"),
        ("../yolov8n", "no official"),
        ("https://example.com/yolov8n.pt", "no official"),
    ],
)
def test_what_is_not_official(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetch(name)


def test_a_file_is_converted_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    with pytest.raises(
        UsageError, match=r"best\.pt is a file of your own; `yolo-max weights convert .*best\.pt`"
    ):
        fetch(str(tmp_path / "best.pt"))
