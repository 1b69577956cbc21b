"""The errors a user can cause: each carries one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

__all__ = ["AnnealError", "BundleError", "GoldError", "InputError", "LedgerError", "OutputError", "StartError"]


class AnnealError(Exception):
    """Base of every error a user can cause; ``str(error)`` is a sentence fit to be shown as it is."""


class InputError(AnnealError, ValueError):
    """An image, a label map, a folder or a setting cannot be used as given."""


class OutputError(AnnealError, OSError):
    """A result cannot be written where it was asked for; nothing that existed there was touched."""


class BundleError(AnnealError, ValueError):
    """A model bundle is damaged, unsafe, or from a newer version of this package."""


class StartError(AnnealError):
    """The weights a run should start from cannot be had (no network, no such file, another architecture)."""


class GoldError(AnnealError):
    """Something asked for the pixels or labels of a gold specimen, which are set aside for one look at the end."""


class LedgerError(AnnealError):
    """The record of who opened the gold set was edited, shortened or deleted."""
