"""Whereabouts: how should a segmentation network be told *where*?"""

__version__ = "0.1.0"
