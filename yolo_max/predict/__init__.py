"""The stages put together: for one image, a stream, a folder.

predictor.py  weights, engine, transform and decoder as one object
streams.py    what it does with many images     stages.py  what each of them goes through
detector.py   a predictor for weights that detect
pipeline.py   ordered, bounded, threaded stages
turns.py      whose turn it is to run the engine
tracking.py   the same number for an object in all frames of a video
tiled.py      images predicted tile by tile
pending.py    one image between its source and its prediction
result.py     what became of it    picture.py  its prediction drawn on it
folder/       a run over a folder, which can be killed and resumed
"""
