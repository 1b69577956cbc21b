"""The same recipes on a torch device, many at once: the same labels as `synthesize`, images of the same statistics."""
