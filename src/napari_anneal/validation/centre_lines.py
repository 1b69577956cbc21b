"""clDice: whether thin things (boundaries, cracks, dislocations) are connected as painted, whatever their thickness."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_anneal.validation.objects import filled

__all__ = ["cl_dice"]


def cl_dice(labels: Any, prediction: Any, n_classes: int) -> npt.NDArray[np.float64]:
    """Harmonic mean of the shares of each centre line that the other region covers (Shit et al. 2021, CVPR).

    Centre lines are scikit-image's skeletons, 2D or 3D. Unpainted pixels take the predicted class while lines are
    drawn, and are then left out.

    Parameters
    ----------
    labels
        Whole numbers ``(Y, X)`` or ``(Z, Y, X)``: 0 = not painted, 1…K.
    prediction
        The same shape, 1…K.
    n_classes
        K.

    Returns
    -------
    numpy.ndarray
        float64 ``(K,)`` in 0…1; ``nan`` for a class that was not painted.
    """
    from skimage.morphology import skeletonize

    whole, guess = filled(labels, prediction, n_classes)
    painted = np.asarray(labels) != 0
    figures = np.full(n_classes, np.nan)
    for k in range(n_classes):
        truth, found = whole == k + 1, guess == k + 1
        true_line = skeletonize(truth).astype(bool) & painted if (truth & painted).any() else truth & False
        if not true_line.any():
            continue
        line = skeletonize(found).astype(bool) & painted
        sensitivity = float(found[true_line].mean())
        precision = float(truth[line].mean()) if line.any() else 0.0
        total = precision + sensitivity
        figures[k] = 2 * precision * sensitivity / total if total else 0.0
    return figures
