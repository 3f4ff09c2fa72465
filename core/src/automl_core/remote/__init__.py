"""Storages in a cloud, in one place: a plugin brings the client of its cloud as an fsspec file system."""
