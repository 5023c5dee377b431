"""How files of pictures are to be read: what the options of a command say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoencode.errors import DataError

if TYPE_CHECKING:
    from autoencode.data.picture_form import PictureForm

__all__ = ["ANY_PICTURES", "PictureWish"]

# Free of NumPy, so that ``--help`` is too.


@dataclass(frozen=True)
class PictureWish:
    """How files of pictures are to be read; see `autoencode.data.pictures.read_pictures`.

    Attributes
    ----------
    size : tuple of int or None
        Height and width; None: the commonest.
    fit : str or None
        One of `picture_form.FITS`; None: "resize".
    skip_bad : bool
        Whether pictures that cannot be read are left out.
    form : PictureForm or None
        That of a fitted model, which decides the first two.
    """

    size: tuple[int, int] | None = None
    fit: str | None = None
    skip_bad: bool = False
    form: PictureForm | None = None

    def refuse_other(self) -> None:
        """Refuse data that are no files of pictures if any of this was asked for.

        Raises
        ------
        DataError
            Naming the option that would do nothing.
        """
        asked = {"--size": self.size, "--fit": self.fit, "--skip-bad": self.skip_bad or None}
        for option, value in asked.items():
            if value is not None:
                raise DataError(f"{option} is for files of pictures, which this is not")


ANY_PICTURES = PictureWish()
