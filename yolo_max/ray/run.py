"""A run over images on a Ray cluster: what `FolderRun` does, predicted by workers on its nodes.

The images are cut into shards. Ray Data deals them out and does again what a lost worker had; this process
appends the records of each shard to the manifest, in order, so that the results are those of one machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_max.images.source import Found, SourceImage
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.predict.folder.previous_run import Record
from yolo_max.predict.folder.run import FolderRun
from yolo_max.predict.folder.saving import is_done
from yolo_max.predict.folder.targets import remove_remnants
from yolo_max.predict.predictor import Predictor
from yolo_max.ray.buckets import is_bucket
from yolo_max.ray.cluster import Workers, without_deprecations, workers_of
from yolo_max.ray.setup import Setup
from yolo_max.ray.shards import Item, cut, is_shard, read_shard, shard_name, to_text
from yolo_max.ray.stages import RESTARTS, WAITING, Predict, read_ahead
from yolo_max.support.atomic import TEMPORARY_PREFIX
from yolo_max.support.errors import EngineError, OutputError, UsageError, YoloMaxError
from yolo_max.support.options import SaveOptions, SourceOptions
from yolo_max.support.ray_options import RayOptions
from yolo_max.support.result_names import SHARDS_FOLDER
from yolo_max.support.text import first_line, visible

if TYPE_CHECKING:
    from yolo_max.engine.contract import Network

_COLORS = re.compile(r"\x1b\[[\d;]*m")


class RayRun(FolderRun):
    """A run over images into an output folder that all nodes have; see `FolderRun`.

    with cluster("local") as ray:
        with RayRun(lambda: ray, predictor, found, out, SaveOptions(), RayOptions()) as run:
            for record in run.images():
                print(record["path"])

    Attributes:
        workers: How many there are, of how many CPUs; None where nothing is left to do.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        predictor: Predictor,
        found: Iterable[Found],
        out: Path,
        saving: SaveOptions,
        on: RayOptions,
        *,
        network: Network | None = None,
        reading: SourceOptions | None = None,
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Begins the run, or resumes it where a previous process stopped.

        Args:
            connect: Gives the package ray, connected to a cluster; not called where nothing is left to do.
            predictor: This process's; each worker makes its like.
            found: Images, and what could not be read or was skipped.
            out: As for `FolderRun`; the same folder on every node.
            saving: As for `FolderRun`.
            on: How many workers and images per shard.
            network: The network that the predictor was made with, if it is one of the caller's own.
            reading: Which addresses are read.
            settings: As for `FolderRun`.
            resume: As for `FolderRun`.
            overwrite: As for `FolderRun`.

        Raises:
            OutputError: As for `FolderRun`.
            UsageError: As for `FolderRun`; the cluster is too small; or there is a source that is no image.
        """
        found = list(found)
        images = [each for each in found if isinstance(each, SourceImage)]
        if any(image.data is not None for image in images):
            raise UsageError("an image from the standard input does not go with --ray; name files.")
        self._on, self._network = on, network
        self._connect = connect
        self.workers: Workers | None = None
        if not resume:
            self._start(predictor)  # before the folder is touched
        names = {image.name: image for image in images}
        self._shards = list(cut(list(names.values()), on.shard_images))
        super().__init__(
            *(predictor, found, out, saving),
            reading=reading,
            settings={**(settings or {}), **on.settings},
            tables=[str(self._file(number)) for number in range(len(self._shards))],
            resume=resume,
            overwrite=overwrite,
        )
        try:
            if self.left and self.workers is None:
                self._start(predictor)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._tidy_shards()

    def _start(self, predictor: Predictor) -> None:
        self._ray = self._connect()
        self.workers = workers_of(self._ray, self._on.ray_workers, predictor.options.threads)

    def _predict(self, paths: Iterable[str], stop: Callable[[], bool]) -> Generator[Record, None, None]:
        left = set(paths)
        wanted = [
            number for number, shard in enumerate(self._shards) if any(each.name in left for each in shard)
        ]
        ready = {number for number in wanted if self._is_whole(number)}
        try:
            with closing(self._predicted([number for number in wanted if number not in ready])) as done:
                for number in wanted:
                    while number not in ready:
                        if stop():
                            return
                        ready.add(next(done))
                    for record in self._records_of(number):
                        if record["path"] in left:
                            yield record
        finally:
            self._tidy_shards()
            cropped = self._predictor.names.values() if self._saving.save_crop else ()
            remove_remnants(chain.from_iterable(self._shards), self._out, self._crops, cropped)

    def _predicted(self, numbers: list[int]) -> Generator[int, None, None]:
        """The numbers of shards as they are done, in any order.

        Raises:
            EngineError: The cluster failed.
            YoloMaxError: Whatever a worker raised.
        """
        if not numbers:
            return
        assert self.workers is not None, "a run with images left has workers"
        ray, (count, threads) = self._ray, self.workers
        rows = [{"shard": i, "items": to_text([Item.of(each) for each in self._shards[i]])} for i in numbers]
        setup = ray.put(Setup.of(self._predictor, threads, self._network))
        named = self._saving.save_crop or self._saving.gallery
        crops = ray.put(self._crops if named else CropNames(()))
        arguments = (
            setup,
            crops,
            str(self._out.absolute()),
            self._saving,
            self._reading,
            self._on.shard_format,
        )
        shards = ray.data.from_items(rows, override_num_blocks=len(rows))
        if any(is_bucket(source.address or "") for number in numbers for source in self._shards[number]):
            # Reading waits for the network; a CPU that was kept for it would predict nothing.
            tasks = ray.data.TaskPoolStrategy(size=min(count, len(rows)))
            shards = shards.map(read_ahead, compute=tasks, num_cpus=0)
        with without_deprecations():
            done = shards.map(
                Predict,
                fn_constructor_args=arguments,
                compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=WAITING),
                num_cpus=threads,
                max_restarts=RESTARTS,
                max_task_retries=RESTARTS,
            )
        try:
            for row in done.iter_rows():
                yield int(row["shard"])
        except ray.exceptions.RayError as error:
            raise _ours(error) from error

    def _file(self, number: int) -> Path:
        return shard_name(number, self._on.shard_format)

    def _is_whole(self, number: int) -> bool:
        """Whether a previous process finished a shard: it has the records of its images, and their files."""
        try:
            records = read_shard(self._out / self._file(number))
        except OutputError:
            return False
        task, names = self._predictor.task, self._predictor.weights.meta.names
        shard = self._shards[number]
        return [record.get("path") for record in records] == [each.name for each in shard] and all(
            is_done(record, self._out, task, names) for record in records
        )

    def _records_of(self, number: int) -> Iterator[Record]:
        path = self._out / self._file(number)
        if not path.exists():
            raise OutputError(
                f"a worker wrote {path} and it is not there; name a folder with --out that all nodes share."
            )
        return iter(read_shard(path))

    def _tidy_shards(self) -> None:
        """Removes partial files, and the shards that the run had when its list of images was longer."""
        own = {str(self._file(number)) for number in range(len(self._shards))}
        stale = {self._out / each for each in self._manifest.tables if is_shard(each) and each not in own}
        with suppress(OSError):  # there may be no such folder
            for path in (self._out / SHARDS_FOLDER).iterdir():
                if path in stale or path.name.startswith(TEMPORARY_PREFIX):
                    path.unlink(missing_ok=True)


def _ours(error: BaseException) -> YoloMaxError:
    """The error that a worker raised on purpose, or one that says what went wrong on the cluster."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        within = getattr(cause, "cause", None)  # Ray's own is of the class of what it wraps, too
        if isinstance(cause, YoloMaxError) and within is None:
            return type(cause)(first_line(cause))  # Ray adds lines about retries
        seen.append(cause)
        cause = within or cause.__cause__
    if any(isinstance(each, ModuleNotFoundError) for each in seen):
        return EngineError(
            "the workers lack a package; install the same yolo_max on all nodes of the cluster."
        )
    return EngineError(f"the run on Ray failed ({_reason(error)}); --resume goes on.")


def _reason(error: BaseException) -> str:
    """What Ray says in one line: of a worker that raised as it began, the last one, which is the worker's."""
    lines = _COLORS.sub("", str(error)).strip().splitlines() or [type(error).__name__]
    return visible(lines[-1] if "creation task" in lines[0] else lines[0])
