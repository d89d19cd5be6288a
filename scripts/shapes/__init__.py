"""Scenes of simple shapes, drawn for the bundled images and weights; `scenes` is the place to start."""
