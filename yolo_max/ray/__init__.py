"""Runs on a Ray cluster; the package ray is imported where it is used.

cluster.py   a cluster of this machine's own, or one that is there, and how many workers fit
run.py       a run over a folder, as `yolo_max.predict.folder.run`, by the workers of a cluster
stages.py    what Ray Data runs: reading ahead, predicting and writing
setup.py     what a worker needs to make its predictor
attempts.py  images that are predicted one by one, after a worker died of one of them
shards.py    the images of a run, cut into shards, and the files of these
buckets.py   images in object stores, through Arrow's file systems
dataset.py   `predict_dataset`: a Ray Dataset with images to one with predictions
"""

from yolo_max.ray.dataset import predict_dataset

__all__ = ["predict_dataset"]
