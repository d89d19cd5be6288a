"""The errors that yolo_max raises, and the exit code of each on the command line.

Every message is one sentence: what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What ``yolo-max`` returns to the shell; stable between versions."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    WEIGHTS = 3
    SOURCE = 4
    ENGINE = 5
    OUTPUT = 6
    SOME_IMAGES_FAILED = 7
    PARITY = 8
    INTERRUPTED = 130
    READER_GONE = 141


class YoloMaxError(Exception):
    """Base of every error that yolo_max raises on purpose."""

    exit_code: ExitCode = ExitCode.UNEXPECTED


class UsageError(YoloMaxError):
    """An argument or option has an invalid value."""

    exit_code = ExitCode.USAGE


class WeightsError(YoloMaxError):
    """Weights are missing, damaged, unsafe to open, or describe an unsupported network."""

    exit_code = ExitCode.WEIGHTS


class SourceError(YoloMaxError):
    """A source does not exist or has no images."""

    exit_code = ExitCode.SOURCE


class EngineError(YoloMaxError):
    """An engine or an evaluator cannot do what was requested, or needs a package that is not installed."""

    exit_code = ExitCode.ENGINE


class OutputError(YoloMaxError):
    """A result cannot be written."""

    exit_code = ExitCode.OUTPUT


class ImageError(YoloMaxError):
    """One image cannot be read; a run over a folder records it and continues.

    Attributes:
        reason: What is wrong with the image, without its name.
    """

    exit_code = ExitCode.SOME_IMAGES_FAILED

    def __init__(self, reason: str, path: str | None = None) -> None:
        """Builds the message from the path, if any, and the reason."""
        self.reason = reason
        super().__init__(f"{path}: {reason}" if path else reason)


class ImageFormatError(ImageError):
    """What should be an image is not in a format that is read."""


class ImageSizeError(ImageError):
    """An image has more pixels than are decoded."""


class ParityError(YoloMaxError):
    """MAX and PyTorch disagree by more than the parity rubric allows."""

    exit_code = ExitCode.PARITY
