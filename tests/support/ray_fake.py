"""Ray Data in this process: the stages of a run, one row after another, for tests of what is around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any


class FakeDataset:
    def __init__(self, rows: list[Any], stages: tuple[Callable[[Any], Any], ...] = ()) -> None:
        self.rows, self.stages = rows, stages

    def map(self, stage: Any, *, fn_constructor_args: tuple[Any, ...] = (), **_: Any) -> FakeDataset:
        made = stage(*fn_constructor_args) if isinstance(stage, type) else stage
        return FakeDataset(self.rows, (*self.stages, made))

    def iter_rows(self) -> Iterator[Any]:
        for row in self.rows:
            for stage in self.stages:
                row = stage(row)
            yield row


class RayError(Exception):
    pass


class FakeRay:
    """What stands in for the package.

    Attributes:
        reconstructed: Whether actors take themselves for such as replace a killed one.
        order: In which order shards are done.
        done: How many rows were handed to Ray Data.
    """

    def __init__(self, cpus: tuple[int, ...] = (2,)) -> None:
        self.cpus = cpus
        self.reconstructed = False
        self.order: Callable[[list[Any]], list[Any]] = list
        self.done = 0
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.data = SimpleNamespace(
            from_items=self._from_items,
            TaskPoolStrategy=lambda **_: None,
            ActorPoolStrategy=lambda **_: None,
        )

    def _from_items(self, rows: list[Any], **_: Any) -> FakeDataset:
        self.done += len(rows)
        return FakeDataset(self.order(rows))

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(cpu)}} for cpu in self.cpus]

    def put(self, value: Any) -> Any:
        return value

    def get(self, value: Any) -> Any:
        return value

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(was_current_actor_reconstructed=self.reconstructed)
