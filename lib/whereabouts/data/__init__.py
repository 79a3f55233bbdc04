"""Loaders: one file a data set, each reads the official on-disk layout and nothing else."""
