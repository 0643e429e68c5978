"""Pictures that a question comes with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import QuestionError
from ..records import Picture

MAX_PIXELS = 100_000_000


def read_picture(path: str | Path) -> Picture:
    """A picture file as uint8[H, W, 3] RGB, upright by its EXIF orientation.

    Errors: `QuestionError` where it is missing, not a picture, smaller than 16 pixels or larger than `MAX_PIXELS`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    mend = "give a JPEG or PNG file"
    try:
        with Image.open(path) as image:
            width, height = image.size
            if min(width, height) < 16 or width * height > MAX_PIXELS:
                raise QuestionError(
                    f"the picture {path} is {width}x{height}", "give one between 16 pixels and 100 Mpixel"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
    except FileNotFoundError as error:
        raise QuestionError(f"there is no picture {path}", mend) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise QuestionError(f"{path} is not a picture that can be read", mend) from error
