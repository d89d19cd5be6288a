"""What users of `yolo` type is answered by what to type here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from fakes import write_image

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode

pytestmark = pytest.mark.usefixtures("fake_network")
TRAINING = "nothing is trained here"
TRAINS = """
    epochs time patience save_period pretrained cls_remap optimizer seed deterministic cos_lr
    close_mosaic amp fraction profile freeze multi_scale overlap_mask mask_ratio dropout val lr0 lrf
    momentum nbs weight_decay warmup_epochs warmup_momentum warmup_bias_lr distill_model dis box cls
    cls_pw dfl pose kobj rle angle dlog dgrad dlam hsv_h hsv_s hsv_v degrees translate scale shear
    perspective flipud fliplr bgr mosaic mixup cutmix copy_paste copy_paste_mode auto_augment
    erasing
"""
EXPORT = "weights are not exported here"
OUT = "results go into the folder of --out"
ABSENT = "it is not supported"

# Every argument of Ultralytics' command line with a value that is not its default, and what it is for
# `predict`: words, if they begin with a dash or are none, or else a part of a sentence.
SETTINGS = {
    "task=detect": "",
    "mode=predict": "",
    "model=best.pt": "--model best.pt",
    "data=coco8.yaml": "class names come from the weights; for val the dataset is",
    "batch=16": "--batch 16",
    "imgsz=[320,640]": "--imgsz 320,640",
    "save=False": "--no-save",
    "cache=True": "images are not kept in memory",
    "device=cpu": "--device cpu",
    "workers=4": "--workers 4",
    "project=runs": "--project runs",
    "name=exp": "--name exp",
    "save_dir=runs": OUT,
    "exist_ok=True": "--overwrite",
    "verbose=False": "--quiet",
    "rect=True": "--rect",
    "resume=True": "--resume",
    "compile=True": "the network is always compiled",
    "channels_last=True": "the network is always channels-last",
    "single_cls=True": "yolo-max val has --single-cls",
    "split=test": "yolo-max val has --split",
    "save_json=True": "--save-json",
    "conf=0.4": "--conf 0.4",
    "iou=0.5": "--iou 0.5",
    "max_det=9": "--max-det 9",
    "half=True": "--precision bf16",
    "quantize=16": "--precision bf16",
    "int8=True": "int8 is not supported",
    "dnn=True": "there is no such engine",
    "plots=True": "yolo-max val --out FOLDER draws them",
    "nms=True": "--nms",
    "nms=False": "--no-nms",
    "source=other": "other",
    "vid_stride=2": "--vid-stride 2",
    "save_frames=True": "--save-frames",
    "stream_buffer=True": "--stream-buffer",
    **dict.fromkeys(("visualize=True", "augment=True", "embed=[1]"), ABSENT),
    "agnostic_nms=True": "--agnostic-nms",
    "retina_masks=True": "--retina-masks",
    "classes=[0,2]": "--classes 0,2",
    "show=True": "pictures are written to files, not shown",
    "save_txt=True": "--save-txt",
    "save_conf=True": "--save-conf",
    "save_crop=True": "--save-crop",
    "show_labels=False": "--hide-labels",
    "show_conf=False": "--hide-conf",
    "show_boxes=False": "--hide-boxes",
    "line_width=3": "--line-width 3",
    **dict.fromkeys(["keras=True", "optimize=True", "dynamic=True", "simplify=True"], EXPORT),
    **dict.fromkeys(("opset=17", "workspace=4"), EXPORT),
    "cfg=my.yaml": "--cfg my.yaml",
    "tracker=bytetrack.yaml": "--tracker bytetrack.yaml",
    **{f"{name}=1": TRAINING for name in TRAINS.split()},
}
OTHERWISE = {  # `--name` where it is not the option of that name
    "--task": "the weights know their task",
    "--mode": "the command is the mode",
    "--exist_ok": "use --exist-ok",
    "--verbose": "use --quiet",
    "--half": "use --precision bf16 for 16-bit numbers",
    "--quantize": "use --precision bf16 for 16-bit numbers",
    "--show_labels": "use --show-labels",
    "--show_conf": "use --show-conf",
    "--show_boxes": "use --show-boxes",
}


def is_words(text: str) -> bool:
    return text.startswith("--") or text in ("", "other")


def said_to(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that answers a mistake."""
    assert run(arguments) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.mark.parametrize(("setting", "here"), SETTINGS.items())
def test_a_setting_of_yolo(photos: Path, setting: str, here: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(Path("other/a.jpg"), 1)
    Path("my.yaml").write_text("conf: 0.3")
    said = said_to(["predict", "photos", setting], capsys)
    if not is_words(here):
        assert f"there is no option '{setting.partition('=')[0]}'; {here}" in said
        return
    command = f"yolo-max predict photos {here}".strip()
    assert said == f"options are written as --name or --name value here: {command}."
    if "--classes" not in here:  # the fake network has one
        out = [] if here.startswith(("--project", "--name")) else ["-o", "out"]
        assert run([*shlex.split(command)[1:], *out]) != ExitCode.USAGE


@pytest.mark.parametrize(("setting", "here"), SETTINGS.items())
def test_an_option_of_yolo(photos: Path, setting: str, here: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, _, value = setting.partition("=")
    option = f"--{name}"
    if here.startswith(f"{option} ") or option == "--source":
        return  # it is an option here, or names the argument
    said = said_to(["predict", "photos", option, value], capsys)
    if here in (option, f"--no-{name}"):
        assert said == f"options are written as --name or --name value here: yolo-max predict photos {here}."
    elif here.startswith(option.replace("_", "-")):
        assert said == f"there is no option '{option}'; use {option.replace('_', '-')}."
    else:
        assert f"there is no option '{option}'; {OTHERWISE.get(option, here)}" in said


@pytest.mark.parametrize("form", ["{name}={value}", "--{name}", "--{dashed}"])
@pytest.mark.parametrize(
    "command", ["predict missing", "compare missing", "val missing.yaml", "bench --from missing"]
)
def test_what_is_proposed_is_there(command: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In every command, for every argument: the options and commands that a hint names exist."""
    assert run([command.split()[0], "--help"]) == 0
    has = {command.split()[0]: set(re.findall(r"--[a-z-]+", capsys.readouterr().out))}
    for other in {"predict", "compare", "val", "bench"} - has.keys():
        run([other, "--help"])
        has[other] = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    for setting in SETTINGS:
        name, _, value = setting.partition("=")
        written = form.format(name=name, value=value, dashed=name.replace("_", "-"))
        code = run([*command.split(), written])
        (line,) = capsys.readouterr().err.splitlines()
        if code != ExitCode.USAGE:  # it is an option of the command
            continue
        sentence = line.partition("; ")[2] or line.partition("here: ")[2]
        named = re.findall(r"yolo-max ([a-z]+)", sentence) or [command.split()[0]]
        assert set(named) <= has.keys(), line
        assert set(re.findall(r"--[a-z-]+", sentence)) <= has[named[0]], line


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("val data=coco8.yaml model=best.pt", ": yolo-max val coco8.yaml --model best.pt."),
        ("val data=a.yaml save_json=True", ": yolo-max val a.yaml --save-json."),
        ("predict --data coco8.yaml", "for val the dataset is an argument: yolo-max val DATA."),
        ("val a.yaml --batch 16", "there is no option '--batch'; images are run one after another."),
        ("bench --batch 16", "there is no option '--batch'; use --scenarios."),
        ("val a.yaml rect=True", "there is no option 'rect'; the input is square."),
        ("val --data", "missing argument 'DATA'"),
        ("compare source=photos", ": yolo-max compare photos."),
        ("bench model=best.pt", ": yolo-max bench --model best.pt."),
        ("bench half=True", "use --engines max,max-bf16 for 16-bit numbers."),
        ("weights info model=best.pt", ": yolo-max weights info best.pt."),
        ("cache clear kind=graphs", ": yolo-max cache clear --kind graphs."),
        # Options of ours and words among settings are kept.
        ("predict photos conf=0.4 -w best.pt -r", ": yolo-max predict photos --conf 0.4 -w best.pt -r."),
        (
            "predict 'source=my photos' save_txt conf=0.4",
            ": yolo-max predict 'my photos' --save-txt --conf 0.4.",
        ),
        ("predict photos save_txt", ": yolo-max predict photos --save-txt."),  # a word alone is a switch
        ("predict photos save_txt=0 save=0 half=1", ": yolo-max predict photos --no-save --precision bf16."),
        ("predict photos --no-show-labels", "there is no option '--no-show-labels'; use --hide-labels."),
        ("predict photos --no-gallery", "there is no option '--no-gallery'; it is off without --gallery."),
        ("predict photos --save-txt True", ": yolo-max predict photos --save-txt."),
        ("predict photos --rect=True --save=False", ": yolo-max predict photos --rect --no-save."),
        ("predict source=0 half=False classes=None", ": yolo-max predict 0."),
        # The words of `yolo` before its settings, in any order.
        ("detect predict source=photos", ": yolo-max predict photos."),
        ("classify predict photos", "the weights know their task; type yolo-max predict photos."),
        ("classify predict sub", "type yolo-max predict sub."),
        ("classify predict val", "type yolo-max predict val."),  # a folder may be called so
        ("yolo task=detect mode=val data=a.yaml", ": yolo-max val a.yaml."),
        ("source=photos", ": yolo-max predict photos."),
        ("detect val data=a.yaml", ": yolo-max val a.yaml."),
        ("benchmark model=best.pt", ": yolo-max bench --model best.pt."),
        ("depth predict source=photos", "the task 'depth' is not ported; detect, "),
        ("train data=a.yaml", "nothing is trained here; train with Ultralytics"),
        ("detect train data=a.yaml", "nothing is trained here; train with Ultralytics"),
        ("mode=export model=best.pt", "nothing needs to be exported here"),
        ("track source=a.mp4", ": yolo-max predict a.mp4 --tracker bytetrack."),
        ("track a.mp4 tracker=bytetrack.yaml", ": yolo-max predict a.mp4 --tracker bytetrack.yaml."),
        ("track a.mp4 --tracker botsort", "type yolo-max predict a.mp4 --tracker botsort."),
        (
            "track source=/data/trackers/a.mp4",  # no tracker is named
            ": yolo-max predict /data/trackers/a.mp4 --tracker bytetrack.",
        ),
        ("help", "there is no command 'help'; use yolo-max --help."),
        # Several values.
        ("predict photos --imgsz 640 480", "several values are joined by commas: --imgsz 640,480."),
        ("predict photos --classes=0 56", "several values are joined by commas: --classes 0,56."),
        ("predict photos classes=[0, 2] -r", ": yolo-max predict photos --classes 0,2 -r."),
        # A second file.
        (
            "weights convert best.pt best.safetensors --half",
            "named by --out: yolo-max weights convert best.pt --out best.safetensors --half.",
        ),
        # Misspelt, or of another program.
        ("predict photos confi=0.5", "there is no option 'confi'; did you mean --conf?"),
        ("predict photos -conf 0.5", "there is no option '-conf'; use --conf."),
        ("predict photos --conf_thres 0.5", "use --conf."),
        ("predict photos --shape 1", "there is no option '--shape'; see yolo-max predict --help."),
        ("predict photos --out --quiet", "--out takes a value, and the option --quiet follows instead."),
        # a flag for `yolo val`
        ("val a.yaml --images --out here", "--images takes a value, and the option --out follows"),
        ("predict photos --conf", "option '--conf' requires an argument; see yolo-max predict --help."),
        ("--conf 0.5 predict", "no such option: --conf; see yolo-max --help."),
        ("weights --", "missing command; see yolo-max weights --help."),
        ("perdict val", "there is no command 'perdict'; did you mean predict?"),
        ("predct", "there is no command 'predct'; did you mean predict?"),
        ("test", "there is no command 'test'; use one of predict, compare, "),  # not `detect`
        # A file in place of a command.
        ("photos", "photos is not a command; to find out what is in it: yolo-max predict photos."),
        ("best.pt", "best.pt is not a command; to find out what is in it: yolo-max weights info best.pt."),
        ("coco8.yaml", "to find out what is in it: yolo-max val coco8.yaml."),
        (
            "weights best.pt",
            "there is no command 'best.pt'; use one of analyze, compile, convert, info, fetch.",
        ),
    ],
)
def test_habits_get_a_hint(
    photos: Path, command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("best.pt", "coco8.yaml"):
        Path(name).touch()
    assert message in said_to(shlex.split(command), capsys)


@pytest.mark.parametrize(
    "command",
    [
        "predict --source photos",
        "predict --source=photos --conf 0.3",
        "predict --source other photos",
    ],
)
def test_an_argument_may_have_the_name_that_yolo_gives_it(photos: Path, command: str) -> None:
    write_image(Path("other/a.jpg"), 1)
    assert run([*command.split(), "-o", "out"]) == 0


def test_the_name_of_an_argument_is_a_source_after_two_dashes(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "--", "--source"]) == ExitCode.SOURCE
    assert "--source does not exist" in capsys.readouterr().err


def test_a_file_with_the_name_of_a_setting_is_a_file(photos: Path) -> None:
    write_image(Path("source=0.jpg"), 1)
    write_image(Path("0/a.jpg"), 2)
    assert run(["predict", "source=0.jpg", "0"]) == 0
    assert run(["predict", "--", "conf=0.5"]) == ExitCode.SOURCE  # after two dashes all words are sources
