"""``yolo-max serve``: predictions over HTTP."""

from __future__ import annotations

import os
from contextlib import ExitStack

import typer

from yolo_max.cli.console import Debug, busy, say, warnings_as_lines
from yolo_max.cli.interrupt import Interrupt
from yolo_max.cli.parameters import Quiet, Some, Weights, takes
from yolo_max.cli.spread import backend, require_cluster, require_goes_with_ray
from yolo_max.serve.options import MAX_PIXELS, ApplicationOptions, ServerOptions
from yolo_max.support.errors import ExitCode
from yolo_max.support.options import PredictOptions
from yolo_max.support.ray_options import RayOptions

_OPTIONS = (
    *("imgsz", "rect", "engine", "device", "precision", "kernels", "compiled", "nms"),
    *("conf", "iou", "classes", "max_det", "agnostic_nms", "retina_masks"),
    *("max_pixels", "threads", "workers"),
)
_HELPS = {
    "ray": "Predict by replicas on Ray: a cluster of this machine's own, the one that is there (auto), "
    "or HOST:PORT."
}


@takes(
    options=Some(PredictOptions, *_OPTIONS, max_pixels=MAX_PIXELS),
    limits=Some(ApplicationOptions),
    server=Some(ServerOptions),
    on=Some(RayOptions, "ray", "ray_workers", helps=_HELPS),
)
def serve(
    weights: Weights = "yolov8n",
    *,
    options: PredictOptions,
    limits: ApplicationOptions,
    server: ServerOptions,
    on: RayOptions,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> int:
    """Predict over HTTP: POST an image to [cyan]/predict[/]; JSON or the annotated image comes back.

    [cyan]/[/] is a page to try it, [cyan]/docs[/] lists the routes. It ends at Ctrl-C or SIGTERM, once what
    has begun is answered.
    """
    with Interrupt() as interrupt, warnings_as_lines(quiet):
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(options.max_pixels)
        from yolo_max.serve.packages import require_packages

        require_packages()
        require_goes_with_ray(on, options)
        require_cluster(on)
        import cv2

        from yolo_max.images.read import silence_opencv
        from yolo_max.output.text_rendering import load_font
        from yolo_max.predict.predictor import Predictor
        from yolo_max.serve.access import LOCAL, read_token
        from yolo_max.serve.application import application
        from yolo_max.serve.server import Server, listen

        silence_opencv()
        cv2.setNumThreads(1)  # requests run in parallel
        token = read_token(server.token_file, os.environ)
        with listen(server.host, server.port) as listener, ExitStack() as stack:
            load_font()
            with busy(quiet) as report:
                predictor = Predictor(weights, options, report=report)
                found = stack.enter_context(backend(on, predictor, report))
            names = (server.host, *server.allowed_host)
            app = application(predictor, limits, token=token, hosts=names, backend=found)
            process = Server(app, grace=4 * limits.timeout)

            def end() -> None:
                process.drain(server.drain)
                if not quiet:
                    say(_DRAINING, "yellow")

            interrupt.finish_what_has_begun(end)
            if not quiet:
                host = f"[{server.host}]" if ":" in server.host else server.host
                typer.echo(f"{predictor.weights.path.name} at http://{host}:{listener.getsockname()[1]}/")
            if token is None and server.host not in LOCAL:
                say(_OPEN, "yellow")
            process.run([listener])
    return ExitCode.OK


_OPEN = (
    "Anybody who reaches this address may ask: there is no token. Name one with --token-file, and put a "
    "proxy with TLS in front."
)
_DRAINING = "Finishing what has begun; a second signal (Ctrl-C) stops at once."
