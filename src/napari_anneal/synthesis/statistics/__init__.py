"""What a label map or a boundary network measures, and the way to make a network of closed cells."""
