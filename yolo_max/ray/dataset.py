"""`predict_dataset`: a Ray Dataset with a column of images to one with predictions."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from yolo_max.ray.stages import RESTARTS
from yolo_max.support.errors import UsageError
from yolo_max.support.option import with_keywords
from yolo_max.support.options import PredictOptions

if TYPE_CHECKING:
    import ray as ray_package
    from ray.data import Dataset

    from yolo_max.engine.contract import Network
    from yolo_max.ray.setup import Setup
    from yolo_max.weights.load import Weights

BATCH = 64
"""Images that a worker gets at once; they stay in its memory until they are done."""


@with_keywords(PredictOptions)
def predict_dataset(
    ds: Dataset,
    weights: str | os.PathLike[str] | Weights,
    options: PredictOptions | None = None,
    *,
    column: str = "image",
    rgb: bool = True,
    ray_workers: int | None = None,
    network: Network | None = None,
    **changes: Any,
) -> Dataset:
    """Predicts what is in a column of images, by workers of the cluster that Ray is connected to.

        ds = ray.data.read_images("s3://bucket/photos", include_paths=True)
        predict_dataset(ds, "yolov8n", conf=0.4).write_parquet("s3://bucket/found")

    Args:
        ds: The dataset; nothing of it is read before the result is.
        weights: As for `yolo_max.Predictor`.
        options: As for `yolo_max.Predictor`.
        column: Its column of images: bytes of image files, paths that each node can read, or uint8 [H, W, 3].
        rgb: Whether arrays are RGB, as Ray and Pillow give them, or BGR, as OpenCV does.
        ray_workers: How many networks, each with ``threads`` CPUs. When absent, as many as fit beside one CPU
            for whatever else the dataset does.
        network: A network of your own, as the ``engine`` of `yolo_max.Predictor`.
        **changes: As for `yolo_max.Predictor`.

    Returns:
        The dataset with two more columns of text. ``prediction`` is the prediction's ``to_dict`` as JSON,
        from which ``from_dict`` restores it bit for bit; ``error`` says why there is none. One is empty. An
        image that ends each process that predicts it ends the dataset after `RESTARTS` attempts.

    Raises:
        EngineError: Ray is not installed; or as for `yolo_max.Predictor`.
        UsageError: The cluster is too small; or as for `yolo_max.Predictor`.
        WeightsError: As for `yolo_max.Predictor`.
    """
    from yolo_max.predict.predictor import Predictor
    from yolo_max.ray.cluster import cpus_of, import_ray, without_deprecations, workers_of
    from yolo_max.ray.setup import Setup

    ray = import_ray()
    predictor = Predictor(weights, options, engine=network, **changes)
    if not ray.is_initialized():
        ray.init()
    count, threads = workers_of(ray, ray_workers, predictor.options.threads)
    if ray_workers is None and count * threads == sum(cpus_of(ray)) > 1:
        count, threads = (count - 1, threads) if count > 1 else (1, threads - 1)
    setup = ray.put(Setup.of(predictor, threads, network))
    with without_deprecations():
        return ds.map_batches(
            PredictColumn,
            fn_constructor_args=(setup, column, rgb),
            batch_size=BATCH,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count),
            num_cpus=threads,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )


class PredictColumn:
    """Predicts what is in a column of batches; an actor, made once."""

    def __init__(self, setup: ray_package.ObjectRef[Setup], column: str, rgb: bool) -> None:
        """Loads the network; the arguments are those of `predict_dataset`."""
        import ray

        self._predictor = ray.get(setup).predictor()
        self._column, self._rgb = column, rgb

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Adds the columns of a batch."""
        if self._column not in batch:
            raise UsageError(f"the dataset has no column {self._column!r}; it has {', '.join(batch)}.")
        results = list(self._predictor.stream(map(self._source, batch[self._column])))
        found = [json.dumps(each.prediction.to_dict()) if each.prediction else "" for each in results]
        errors = [each.error.reason if each.error else "" for each in results]
        return {**batch, "prediction": np.array(found, object), "error": np.array(errors, object)}

    def _source(self, image: Any) -> Any:
        if isinstance(image, np.ndarray):
            return np.ascontiguousarray(image[..., 2::-1]) if self._rgb and image.ndim == 3 else image
        return str(image) if isinstance(image, np.str_) else image
