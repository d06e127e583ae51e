"""Identity store `build`: the identity is compiled into each board's own image; the last resort.

Nothing but the firmware can say which identity an image holds, and a station cannot build the same one again, because
it cannot open the key that it sealed: whoever is flashed again gets the next key generation.
"""

from collections.abc import Callable, Sequence

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.errors import ShellError
from lorafab.interfaces import ImageBuilder
from lorafab.steps.shell import Shell


class BuildStore:
    """Implements IdentityStore. ``check`` holds a built image against the product, as the product's own was."""

    stage: Stage = "image"

    def __init__(self, builder: ImageBuilder, shell: Callable[[], Shell], check: Callable[[Image], None]) -> None:
        self._builder, self._shell, self._check = builder, shell, check

    def factory_eui(self) -> Eui64 | None:
        """An image has none of its own."""
        return None

    def look(self) -> Found:
        """Code does not tell what it holds."""
        return Found(BlockState.UNREADABLE)

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """Build this board's image. Raises BuildError, ImageError."""
        assert identity is not None  # as nothing is ever found, there always is a new one
        built = self._builder.build(identity)
        self._check(built)
        return built.segments

    def write(self, identity: Identity) -> None:
        """Done with the image."""

    def read_back(self) -> tuple[Held, Evidence]:
        """Ask the running firmware, which computes the key check value. Raises ShellError, LinkSilent."""
        said = self._shell().ask("ID?")
        try:
            held = Held(
                dev_eui=Eui64.parse(said["dev_eui"]),
                join_eui=Eui64.parse(said["join_eui"]),
                serial=said["serial"],
                generation=int(said["generation"]),
                kcv_app=said["kcv_app"],
                kcv_nwk=said["kcv_nwk"],
            )
        except (KeyError, ValueError):
            raise ShellError(
                "the board's answer to ID? is not an identity, wanted dev_eui, join_eui, serial, generation, kcv_app "
                "and kcv_nwk; check that the image is this product's, repeat once, then set it aside"
            ) from None
        return held, "read back"
