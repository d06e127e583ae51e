"""A jig without electronics: the operator places the board, and it is powered as long as it lies there."""

from lorafab.errors import JigError


class ManualJig:
    """Implements Jig for a nest with permanent power and no sensors."""

    def present(self) -> bool:
        """True: nothing can tell, and an empty nest shows as a probe that finds no chip."""
        return True

    def lid_closed(self) -> bool:
        """True: there is no sensor."""
        return True

    def power(self, on: bool) -> None:
        """Do nothing: the supply is always on."""

    def camera(self) -> bytes:
        """Raise JigError: there is no camera."""
        raise JigError(
            "the manual jig has no camera, wanted a picture of the label; scan the label by hand (scanner: prompt)"
        )

    def close(self) -> None:
        """Do nothing."""
