"""How well a segmentation agrees with the labels, and the statistics of such numbers."""
