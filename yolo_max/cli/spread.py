"""``--ray``: a run, or a service, that is spread over a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_max.cli.console import busy, say
from yolo_max.support.errors import UsageError
from yolo_max.support.options import PredictOptions, SaveOptions, SourceOptions
from yolo_max.support.ray_options import LOCAL, RayOptions
from yolo_max.support.text import counted

if TYPE_CHECKING:
    from yolo_max.images.source import Found
    from yolo_max.predict.folder.run import FolderRun
    from yolo_max.predict.predictor import Predictor
    from yolo_max.serve.answers import Backend

_STARTING = {LOCAL: "Starting Ray on this machine."}
_CONNECTING = "Connecting to Ray ({})."


def require_goes_with_ray(
    on: RayOptions, options: PredictOptions, reading: SourceOptions | None = None
) -> None:
    """Refuses options that a run or a service on Ray does not have, and those of Ray without it.

    Raises:
        UsageError: There is one.
    """
    if on.ray is None:
        if given := on.given():
            raise UsageError(f"{_written(given[0])} goes with --ray only; add --ray.")
        return
    videos = ("tracker", "vid_stride", "stream_buffer")
    wrong = [name for name in videos if reading is not None and name in reading.given()]
    if wrong:
        raise UsageError(
            f"{_written(wrong[0])} is for videos, and --ray runs over images; leave one of them out."
        )
    if options.compiled is not None and not Path(options.compiled).is_absolute():
        raise UsageError("--compiled must be an absolute path with --ray, one that every node has.")


def require_cluster(on: RayOptions) -> None:
    """Checks that Ray and the cluster are there if they are needed, before anything that takes long.

    Raises:
        EngineError: Ray is not installed, or there is no such cluster.
        UsageError: ``--ray`` has something that is no address.
    """
    if on.ray is not None:
        from yolo_max.ray.cluster import import_ray, require_address

        import_ray()
        require_address(on.ray)


def find(
    sources: Sequence[str], on: RayOptions, *, recursive: bool, exclude: Path | None, stdin: Any, remote: bool
) -> list[Found]:
    """What the sources of a run hold; on Ray addresses of buckets too, and images alone.

    Raises:
        EngineError: Ray is not installed, or there is no such cluster.
        SourceError: As `yolo_max.images.sources.find_images`.
        UsageError: ``--ray`` has something that is no address.
    """
    from yolo_max.images.places import Places
    from yolo_max.images.sources import find_images

    places = Places()
    require_cluster(on)
    if on.ray is None:
        named, addresses = list(sources), []
    else:
        from yolo_max.ray.buckets import find_objects, is_bucket

        addresses = [source for source in sources if is_bucket(source)]
        # A folder by its address is a folder.
        named = [
            source.removeprefix("file://") if source.startswith("file:///") else source
            for source in sources
            if source not in addresses
        ]
    found: list[Found] = []
    if named or not addresses:
        found += find_images(
            named,
            recursive=recursive,
            exclude=exclude,
            videos=on.ray is None,
            stdin=stdin,
            remote=remote,
            places=places,
        )
    if addresses:
        found += find_objects(addresses, recursive=recursive, remote=remote, places=places)
    return found


@contextmanager
def begun(
    on: RayOptions,
    predictor: Predictor,
    found: Sequence[Found],
    out: Path,
    saving: SaveOptions,
    *,
    quiet: bool,
    **more: Any,
) -> Iterator[FolderRun]:
    """A `FolderRun` on this machine, or on a cluster that is connected meanwhile; ``more`` is as for it.

    A run of which nothing is left needs no cluster.
    """
    if on.ray is None:
        from yolo_max.predict.folder.run import FolderRun

        with FolderRun(predictor, found, out, saving, **more) as run:
            yield run
        return
    from yolo_max.ray.cluster import cluster
    from yolo_max.ray.run import RayRun

    with ExitStack() as stack:
        with busy(quiet) as report:

            def connect() -> Any:
                report(_STARTING.get(str(on.ray), _CONNECTING.format(on.ray)))
                return stack.enter_context(cluster(str(on.ray)))

            run = stack.enter_context(RayRun(connect, predictor, found, out, saving, on, **more))
        if run.workers is not None and not quiet:
            workers = counted(run.workers.number, "worker")
            say(f"Starting {workers} of {counted(run.workers.threads, 'CPU')}.")
        yield run


@contextmanager
def backend(on: RayOptions, predictor: Predictor, report: Callable[[str], None]) -> Iterator[Backend | None]:
    """What finds the answers of a service: replicas on a cluster; None where it is the predictor itself.

    Args:
        on: Whether, and where.
        predictor: This process's; its network is closed where replicas have theirs.
        report: Called with a sentence before something that takes long.
    """
    if on.ray is None:
        yield None
        return
    from yolo_max.ray.cluster import cluster
    from yolo_max.serve.replicas import replicas

    report(_STARTING.get(on.ray, _CONNECTING.format(on.ray)))
    with cluster(on.ray) as ray, replicas(ray, predictor, count=on.ray_workers) as several:
        predictor.close()
        yield several


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')}"
