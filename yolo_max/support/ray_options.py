"""The options of a run on Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolo_max.support.errors import UsageError
from yolo_max.support.option import Options, a_name, at_least, option
from yolo_max.support.text import shorten

RAY = "Ray"
"""Their group."""
LOCAL = "local"
"""The address that stands for a cluster of this machine's own, for one run."""
FORMATS = ("jsonl", "parquet")


def a_format(name: str, value: Any) -> None:
    """Checks a format of shards."""
    if value not in FORMATS:
        raise UsageError(f"{name} is {shorten(value)}, but it must be {' or '.join(FORMATS)}.")


@dataclass(frozen=True, kw_only=True)
class RayOptions(Options):
    """Whether and how a run is spread over a Ray cluster; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    ray: str | None = option(
        None,
        RAY,
        "Run on Ray: a cluster of this machine's own, the one that is there (auto), or HOST:PORT.",
        "[ADDRESS]",
        a_name,
        default_text="not on Ray",
    )
    ray_workers: int | None = option(
        None,
        RAY,
        "Networks that are kept ready, each with --threads CPUs.",
        "N",
        at_least(1),
        default_text="as many as the cluster's CPUs allow",
    )
    shard_images: int = option(256, RAY, "Images per shard, the unit of work.", "N", at_least(1, 100_000))
    shard_format: str = option("jsonl", RAY, "jsonl or parquet.", "NAME", a_format)

    @property
    def settings(self) -> dict[str, int | str]:
        """What must be the same for a run to be resumed."""
        return {"shard_images": self.shard_images, "shard_format": self.shard_format}
