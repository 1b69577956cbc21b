"""Structures that grow and coarsen: Potts, phase field of many grains, spinodal decomposition."""
