"""The simplest answer to "where": what most training images have at a pixel (Murase 2020, Table 1)."""

import numpy as np


def averaged_mask(labels: np.ndarray, classes: int = 4) -> np.ndarray:
    """The most frequent label of each pixel over the training images; what position alone can know.

    The paper averages masks and does not say how the average becomes a prediction: the argument of the maximum here.

    Args:
        labels: (N, H, W), integers below `classes`.

    Returns:
        (H, W), uint8.
    """
    return np.stack([(labels == c).mean(0) for c in range(classes)]).argmax(0).astype(np.uint8)
