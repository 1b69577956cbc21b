"""Seeds, cells and the exact tessellation that every grain structure starts from."""
