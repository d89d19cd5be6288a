"""The stages put together: for one image, a stream, a folder."""
