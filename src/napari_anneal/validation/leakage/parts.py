"""Names that say which image a file was cut from or made of: tiles, crops, slices and augmented copies of one image.

Tiles beside each other share no pixel, so no comparison of pictures finds them, and a table that puts them into
different groups is a slip of the pen. Only names that use one of these words, a number, and something before them are
believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["parts_of_one"]

WORDS = "tile|crop|patch|slice|frame|aug|augmented|flip|rot|copy"
# "steelA_tile_3_7", "ct-slice012", "b.aug4", "plate 2 crop 1": the whole rest of the name is word and numbers.
PART = re.compile(rf"^(?P<whole>.*[^\W_].*?)[-_ .]+(?:{WORDS})[-_ .]*(?:[xyzrc]?\d+[-_ .]*)+$", re.IGNORECASE)


def parts_of_one(names: Sequence[str]) -> list[tuple[int, int, str]]:
    """Pairs (first, other, image) of indices whose names say that both are parts or copies of the same image.

    Each part is paired with the first one of its image; the image itself, if it is among the names, counts as one.
    """
    first: dict[str, tuple[int, bool]] = {}
    found = []
    for index, name in enumerate(names):
        match = PART.match(name)
        whole = match["whole"] if match else name
        before, is_part = first.setdefault(whole, (index, match is not None))
        if before != index and (match or is_part):
            found.append((before, index, whole))
    return found
