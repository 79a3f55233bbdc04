"""Synthetic data, one file a data set, written in the official on-disk layout of the real one."""
