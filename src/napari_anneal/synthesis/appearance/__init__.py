"""What a specimen, an instrument and a detector make of a geometry: the ladder, rung by rung."""
