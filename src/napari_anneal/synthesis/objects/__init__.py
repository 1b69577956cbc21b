"""Objects in a matrix: their populations, their shapes and their grey levels."""
