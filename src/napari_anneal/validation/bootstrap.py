"""How sure a mean is: confidence intervals by resampling groups (specimens), never images of the same specimen.

Percentiles of the bootstrap are too narrow for the few specimens that exist, so they are widened as Hesterberg (2015,
doi 10.1080/00031305.2015.1089789) says: to the quantiles that make the interval of a normal mean as wide as Student's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from napari_anneal.errors import InputError

__all__ = ["MIN_GROUPS", "group_interval"]

FloatArray = npt.NDArray[np.float64]
# Resamples reach no farther than the best and the worst group: of n groups the true mean lies beyond all of them with
# a chance of 2 in 2ⁿ, which is 25 % for three and 12 % for four. Then no 95 % interval can be had by resampling.
MIN_GROUPS = 5


def group_interval(
    values: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> FloatArray:
    """Confidence interval of the mean over images, for images that come in groups.

    Parameters
    ----------
    values
        ``(n,)`` or ``(n, K)`` figures of n images; ``nan`` = n/a, left out of the mean.
    groups
        The group of each image. Groups are drawn with replacement, whole.
    level
        Share of intervals that hold the true mean.
    draws
        Resamples.
    seed
        The same seed gives the same interval.

    Returns
    -------
    numpy.ndarray
        float64 ``(2,)`` or ``(K, 2)``, lower and upper end; ``nan`` where fewer than five groups have the figure.
        Of 95 % intervals, 92–94 % hold the mean of 5 to 20 normally distributed specimens (measured).

    Raises
    ------
    InputError
        Values and groups differ in number, or level or draws are out of range.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim not in (1, 2) or len(table) != len(groups):
        raise InputError(f"{len(groups)} groups do not fit figures of shape {table.shape}; give one group an image.")
    if not 0 < level < 1 or draws < 100:
        raise InputError(f"level={level:g}, draws={draws} cannot be used; give a level in 0…1 and 100 draws or more.")
    columns = table.reshape(len(table), -1)
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    index = np.array([names[group] for group in groups], dtype=np.int64)
    intervals = np.array([_interval(column, index, level, draws, seed) for column in columns.T])
    return intervals.reshape((*table.shape[1:], 2))


def _interval(values: FloatArray, index: npt.NDArray[np.int64], level: float, draws: int, seed: int) -> FloatArray:
    """Interval of one figure."""
    from scipy import stats

    known = ~np.isnan(values)
    present, group = np.unique(index[known], return_inverse=True)
    n = len(present)
    if n < MIN_GROUPS:
        return np.full(2, np.nan)
    total = np.bincount(group, values[known], minlength=n)
    size = np.bincount(group, minlength=n)
    picks = np.random.default_rng(seed).integers(n, size=(draws, n))
    means = total[picks].sum(axis=1) / size[picks].sum(axis=1)
    tail = stats.norm.cdf(stats.t.ppf((1 - level) / 2, n - 1) * np.sqrt(n / (n - 1)))
    return np.asarray(np.quantile(means, [tail, 1 - tail]), dtype=np.float64)
