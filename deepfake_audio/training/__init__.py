"""Batches, the fit of a network, its calibration, and the runs in which all that is kept."""
