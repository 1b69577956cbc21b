"""The equations of ASTM E112-13: from a mean intercept or a number of grains to the grain size number G, and back."""

from __future__ import annotations

import math

__all__ = ["count_of_g", "g_from_count", "g_from_intercept", "intercept_of_g"]


def g_from_intercept(mean_intercept_mm: float) -> float:
    """G of a mean lineal intercept in mm (E112-13, table 6): −6.643856 log₁₀ l̄ − 3.288."""
    return -6.643856 * _log10(mean_intercept_mm) - 3.288


def g_from_count(grains_per_mm2: float) -> float:
    """G of a number of grains per mm² of section (E112-13, table 6): 3.321928 log₁₀ N_A − 2.954."""
    return 3.321928 * _log10(grains_per_mm2) - 2.954


def intercept_of_g(g: float) -> float:
    """Mean lineal intercept in mm of a grain size number."""
    return float(10 ** ((g + 3.288) / -6.643856))


def count_of_g(g: float) -> float:
    """Grains per mm² of a grain size number."""
    return float(10 ** ((g + 2.954) / 3.321928))


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan
