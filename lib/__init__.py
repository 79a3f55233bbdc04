"""Whereabouts: how should a segmentation network be told *where*?"""
