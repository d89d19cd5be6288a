"""Videos in a run: a record for each frame, and the annotated video."""

from __future__ import annotations

import json
import shutil
import signal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

from cli_process import start
from fakes import SharedEngine, fake_weights, read_tree, write_image
from videos import SIZE, picture, read_video, sound_of, write_video

from yolo_max.cli import run
from yolo_max.images.decoded import Decoded
from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.errors import ExitCode, OutputError
from yolo_max.support.options import SaveOptions, SourceOptions

QUIET = SaveOptions(times=False, show_labels=False)


def run_of(
    source: Path, out: Path, saving: SaveOptions = QUIET, *, resume: bool = False, **reading: Any
) -> FolderRun:
    return FolderRun(
        Detector(fake_weights(), engine=SharedEngine(), workers=2),
        list(find_images([source], exclude=out, videos=True)),
        out,
        saving,
        reading=SourceOptions(**reading),
        resume=resume,
    )


def records_of(source: Path, out: Path, saving: SaveOptions = QUIET, **options: Any) -> list[dict[str, Any]]:
    with run_of(source, out, saving, **options) as run:
        found = [dict(each) for each in run.images()]
        assert run.finished
    lines = (out / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found
    return found


def test_each_frame_has_a_record(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in/a.mp4", 12)
    records = records_of(tmp_path / "in", tmp_path / "out")
    assert [each["path"] for each in records] == [str(path)] * 12
    assert [each["frame"] for each in records] == list(range(12))
    assert [each["time"] for each in records] == pytest.approx([number / 25 for number in range(12)])
    assert all(each["image_size"] == list(SIZE) and each["boxes"] for each in records)
    assert [each.get("last") for each in records] == [None] * 11 + [True]
    assert [each.get("video") for each in records] == [None] * 11 + ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "codec", "sound", "written"),
    [
        ("a.mp4", "libx264", "aac", "a.mp4"),
        ("a.mkv", "libx264", "flac", "a.mkv"),
        ("a.webm", "libvpx-vp9", "libopus", "a.webm.mp4"),
        ("a.avi", "mjpeg", "libmp3lame", "a.avi.mp4"),
        ("a.ts", "libx264", "aac", "a.ts.mp4"),
        ("a.mov", "libx264", None, "a.mov"),
    ],
)
def test_the_annotated_video_has_rate_times_and_sound(
    tmp_path: Path, name: str, codec: str, sound: str | None, written: str
) -> None:
    path = write_video(tmp_path / "in" / name, 30, codec=codec, rate=24, sound=sound)
    records_of(tmp_path / "in", tmp_path / "out")
    video, of_source = read_video(tmp_path / "out" / written), read_video(path)
    assert video.codec == "h264"
    assert len(video.frames) == 30
    assert abs(np.diff(video.times) - np.diff(of_source.times)).max() <= 0.0011  # Matroska's milliseconds
    if np.ptp(np.diff(of_source.times)) < 0.002:  # FFmpeg's AVI with sound skips a frame
        assert video.rate == pytest.approx(24, abs=0.05)
    heard = sound_of(tmp_path / "out" / written)
    if sound is None:
        assert heard == []
    else:
        # AAC of a transport stream loses its headers of 7 bytes.
        behind = 7 if name.endswith(".ts") else 0
        assert [each[behind:] for each in sound_of(path)] == heard


@pytest.mark.parametrize("frames", [1, 3, 6])
@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "flac"), ("a.webm", "libopus")])
def test_a_video_that_is_read_to_its_end_before_anything_is_written(
    tmp_path: Path, name: str, sound: str, frames: int
) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = write_video(tmp_path / "in" / name, frames, codec=codec, sound=sound)
    (last,) = records_of(tmp_path / "in", tmp_path / "out")[-1:]
    assert len(read_video(tmp_path / "out" / last["video"]).frames) == frames
    assert sound_of(tmp_path / "out" / last["video"]) == sound_of(path)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_the_annotated_video_lies_as_the_source(tmp_path: Path, degrees: int) -> None:
    write_video(tmp_path / "in/a.mp4", 3, rotation=degrees)
    records = records_of(tmp_path / "in", tmp_path / "out")
    frames = read_video(tmp_path / "out/a.mp4").frames
    expected = np.rot90(picture(1), degrees // 90)
    assert records[0]["image_size"] == list(expected.shape[:2])
    assert frames[1].shape == expected.shape
    assert np.median(abs(frames[1].astype(int) - expected)) < 6  # where no box is drawn


@pytest.mark.parametrize(("degrees", "expected"), [(None, "4/3"), (90, "3/4"), (180, "4/3"), (-90, "3/4")])
def test_wide_pixels_turn_with_the_picture(tmp_path: Path, degrees: int | None, expected: str) -> None:
    import av

    write_video(tmp_path / "in/a.mp4", 3, rotation=degrees, aspect=Fraction(4, 3))
    records_of(tmp_path / "in", tmp_path / "out")
    with av.open(str(tmp_path / "out/a.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(expected)


def test_sides_may_be_odd(tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mov", 3, codec="mjpeg", size=(47, 63))
    records = records_of(tmp_path / "in", tmp_path / "out")
    assert records[0]["image_size"] == [47, 63]
    assert read_video(tmp_path / "out/a.mov")[0][0].shape == (48, 64, 3)


def test_frames_that_change_their_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{i}.ts", 5, size=size) for i, size in enumerate([SIZE, (96, 128)])]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    records = records_of(tmp_path / "in", tmp_path / "out")
    sizes = [tuple(each["image_size"]) for each in records if "error" not in each]
    assert set(sizes) == {SIZE, (96, 128)}
    video = read_video(tmp_path / "out/a.ts.mp4")
    assert {frame.shape for frame in video.frames} == {(*SIZE, 3)}
    assert len(video.frames) == len(sizes)
    assert (np.diff(video.times) > 0).all()


def test_every_output(tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 3)
    write_image(tmp_path / "in/b.jpg", 1)
    saving = SaveOptions(save_frames=True, save_txt=True, save_csv=True)
    records = records_of(tmp_path / "in", tmp_path / "out", saving)
    files = {str(path) for path in read_tree(tmp_path / "out")}
    assert files == {
        *("a.mp4", "b.jpg", "predictions.jsonl", "predictions.csv", "run.json", "labels/b.txt"),
        *(f"a_frames/a_{number}.jpg" for number in (1, 2, 3)),
        *(f"labels/a_{number}.txt" for number in (1, 2, 3)),
    }
    assert [each["labels"] for each in records] == [f"labels/a_{n}.txt" for n in (1, 2, 3)] + ["labels/b.txt"]
    header, *rows = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert header.startswith("path,frame,time,class_id,")
    assert {tuple(row.split(",")[1:3]) for row in rows} == {
        *(("0", "0.0"), ("1", "0.04"), ("2", "0.08"), ("", "")),
    }


def test_a_stride_keeps_times_and_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in/a.mp4", 24, sound="aac")
    records = records_of(tmp_path / "in", tmp_path / "out", vid_stride=5)
    assert [each["frame"] for each in records] == [4, 9, 14, 19]
    times = read_video(tmp_path / "out/a.mp4").times
    assert times == pytest.approx([number / 25 for number in (4, 9, 14, 19)])
    assert sound_of(tmp_path / "out/a.mp4") == sound_of(path)


def test_what_is_broken_is_recorded_and_the_rest_is_done(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in/a.avi", codec="mjpeg")
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\xff\xd8\xff"]
    data[starts[4] + 2 : starts[4] + 600] = bytes(598)
    path.write_bytes(data)
    (tmp_path / "in/b.mp4").write_bytes(b"no video")
    write_image(tmp_path / "in/c.jpg", 1)
    records = records_of(tmp_path / "in", tmp_path / "out")
    assert [(each.get("frame"), "error" in each) for each in records] == [
        *((number, number == 4) for number in range(12)),
        *((None, True), (None, False)),
    ]
    assert len(read_video(tmp_path / "out/a.avi.mp4")[0]) == 11
    assert not (tmp_path / "out/b.mp4").exists()


def test_a_run_that_stops_in_a_video_leaves_one_that_plays_and_is_resumed(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.jpg", 1)
    write_video(tmp_path / "in/b.mp4", 40, sound="aac")
    saving = SaveOptions(times=False, save_txt=True)
    with run_of(tmp_path / "in", tmp_path / "out", saving) as run:
        done = list(islice(run.images(), 15))
        assert run.left == 1
    assert 14 <= len(read_video(tmp_path / "out/b.mp4")[0]) < 40
    assert not list((tmp_path / "out").glob(".yolo-max-*"))
    with run_of(tmp_path / "in", tmp_path / "out", saving, resume=True) as run:
        assert (run.resumed, run.left) == (1, 1)  # the image; a video is done as a whole
        assert len(list(run.images())) == 40
        assert run.totals.images == 41
    records_of(tmp_path / "in", tmp_path / "whole", saving)
    assert done[0]["path"].endswith("a.jpg")
    assert_same(tmp_path / "out", tmp_path / "whole", "b.mp4")


def test_videos_that_are_read_in_turn_are_resumed_together(tmp_path: Path) -> None:
    for name, count in (("a", 30), ("b", 8)):
        write_video(tmp_path / f"in/{name}.mp4", count)
    (tmp_path / "in/both.streams").write_text("a.mp4\nb.mp4\n")
    saving, source = SaveOptions(times=False, save_txt=True), tmp_path / "in/both.streams"
    with run_of(source, tmp_path / "out", saving) as run:
        done = list(islice(run.images(), 20))
        assert run.left == 1
    assert [Path(each["path"]).stem for each in done] == ["a", "b"] * 8 + ["a"] * 4
    with run_of(source, tmp_path / "out", saving, resume=True) as run:
        assert (run.resumed, run.left) == (0, 2)  # b is whole, and lies among the frames of a
        assert len(list(run.images())) == 38
        assert run.totals.images == 38
    records_of(source, tmp_path / "whole", saving)
    assert_same(tmp_path / "out", tmp_path / "whole", "b.mp4", "a.mp4")


def assert_same(out: Path, other: Path, *names: str) -> None:
    """Two runs gave the same bytes, and videos that look the same: the encoder's bits may differ."""
    trees = read_tree(out), read_tree(other)
    for name in names:
        for tree in trees:
            del tree[Path(name)]
        one, same = (read_video(folder / name) for folder in (out, other))
        assert one.times == same.times
        pairs = zip(one.frames, same.frames, strict=True)
        assert max(abs(a.astype(int) - b).mean() for a, b in pairs) < 2
    assert trees[0] == trees[1]


def test_a_video_that_is_gone_from_the_results_is_done_again(tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 5)
    write_video(tmp_path / "in/b.mp4", 5)
    records_of(tmp_path / "in", tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "whole")
    (tmp_path / "out/b.mp4").unlink()
    with run_of(tmp_path / "in", tmp_path / "out", resume=True) as run:
        assert (run.resumed, run.left) == (5, 1)
        list(run.images())
    assert_same(tmp_path / "out", tmp_path / "whole", "b.mp4")


def test_no_frame_is_read_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yolo_max.images.video as video_module

    write_video(tmp_path / "in/a.mp4", 200)
    alive = most = 0

    class Counted(Decoded):
        def __init__(self, *arguments: Any) -> None:
            nonlocal alive, most
            super().__init__(*arguments)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(video_module, "Decoded", Counted)
    assert len(records_of(tmp_path / "in", tmp_path / "out")) == 200
    assert most <= 2 * (2 + 2) + 3  # callers and workers; one held back, one pulled, one handed out


def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yolo_max.predict.folder.output_tree import PartialFile

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    write_video(tmp_path / "in/a.mp4", 5)
    monkeypatch.setattr(PartialFile, "write", full)
    with (
        run_of(tmp_path / "in", tmp_path / "out") as run,
        pytest.raises(OutputError, match="No space left on device"),
    ):
        list(run.images())
    assert set(read_tree(tmp_path / "out")) <= {Path("run.json"), Path("predictions.jsonl")}


def test_a_full_disk_ends_the_run_while_sound_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yolo_max.output.video import VideoWriter

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_video(tmp_path / "in/a.mp4", 5, sound="aac")
    monkeypatch.setattr(VideoWriter, "add_sound", full)
    with (
        run_of(tmp_path / "in", tmp_path / "out") as run,
        pytest.raises(OutputError, match="No space left on device"),
    ):
        list(run.images())


@pytest.mark.parametrize("kind", ["wide", "long name", "folder in its place", "encoder"])
def test_a_video_that_cannot_be_written_costs_itself(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    reason = "cannot be written"
    if kind == "wide":
        write_video(source / "a.mkv", 2, codec="ffv1", size=(16, 20_000))
        reason = "20000 x 16, H.264 ends at sides of 16,384"
    elif kind == "long name":
        write_video(source / f"{'a' * 250}.avi", 2, codec="mjpeg")
        reason = "File name too long"
    elif kind == "folder in its place":
        write_video(source / "a.mp4", 2)
        (out / "a.mp4").mkdir(parents=True)
        reason = "Is a directory"
    else:
        from yolo_max.output import video

        monkeypatch.setattr(video, "_H264", {"preset": "no such preset"})
        write_video(source / "a.mp4", 2)
    write_video(source / "b.mp4", 2)
    for resume in (False, True):
        with run_of(source, out, resume=resume) as run:
            list(run.images())
            assert run.finished
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [each["frame"] for each in records] == [0, 1, 0, 1]
    assert reason in records[1]["video_error"]
    assert kind == "encoder" or records[3]["video"] == "b.mp4"
    assert not list(out.glob(".yolo-max-*"))


def test_results_replace_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "in/a.mp4", 2)
    before = read_tree(tmp_path / "in")
    with pytest.raises(Exception, match="is a source, and would be overwritten"):
        FolderRun(
            Detector(fake_weights(), engine=SharedEngine()),
            list(find_images([tmp_path / "in/a.mp4"], videos=True)),
            tmp_path / "in",
            QUIET,
            overwrite=True,
        )
    assert read_tree(tmp_path / "in") == before


def test_ctrl_c_leaves_a_video_that_plays(tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 400, sound="aac")
    process = start(str(tmp_path / "in"), "-o", str(tmp_path / "out"), FAKE_NAP="0.05")
    manifest = tmp_path / "out/predictions.jsonl"
    while not manifest.exists() or manifest.read_text().count("\n") < 5:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "1 image left to do; --resume goes on." in out
    records = manifest.read_text().count("\n")
    assert 5 <= records < 400
    assert len(read_video(tmp_path / "out/a.mp4")[0]) == records


@pytest.mark.usefixtures("fake_network")
def test_the_summary_counts_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "in/a.mp4", 3)
    write_image(tmp_path / "in/b.jpg", 1)
    assert run(["predict", "in"]) == ExitCode.OK
    assert "objects in 1 image and 3 frames" in capsys.readouterr().out
    assert run(["predict", "in", "--json", "--no-save", "--vid-stride", "2"]) == ExitCode.OK
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["frames"]) == (2, 1)


def test_frames_have_crops_thumbnails_and_ids_of_their_own(tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 12)
    saving = SaveOptions(times=False, save=False, save_crop=True, save_json=True, gallery=True)
    records = records_of(tmp_path / "in", tmp_path / "out", saving)
    files = [name for each in records for name in (*each["crops"], each["thumbnail"])]
    assert len(set(files)) == len(files)
    assert all((tmp_path / "out" / name).stat().st_size for name in files)
    assert all(len(each["crops"]) == len(each["boxes"]) for each in records)
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    assert {row["image_id"] for row in rows} == {f"a_{number}" for number in range(12)}


def test_parquet_has_frames_and_times(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    write_video(tmp_path / "in/a.mp4", 5)
    write_image(tmp_path / "in/b.png", 1)
    saving = SaveOptions(times=False, save=False, save_csv=True, save_parquet=True)
    records_of(tmp_path / "in", tmp_path / "out", saving)
    frame = polars.read_parquet(tmp_path / "out/predictions.parquet")
    assert frame.equals(polars.read_csv(tmp_path / "out/predictions.csv"))
    assert frame["frame"].drop_nulls().unique().to_list() == list(range(5))
    assert frame["frame"].null_count() > 0  # the image's
