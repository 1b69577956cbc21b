"""Make synthetic images look like a user's unlabelled real ones, without moving a boundary."""
