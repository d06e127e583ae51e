"""Builds one board's image by the product's own command, in a private folder that never touches a disk.

The header with the key, what the compiler makes of it and its caches lie in one folder of a file system in RAM, only
its owner may enter it, and it is overwritten and removed whatever happens. Killed runs leave theirs behind; the next
run at this computer removes every folder whose lock nobody holds. What the command prints is never shown, for compilers
quote the lines that they complain about: where it fails, it is run once more with an example identity, and *that* is
shown.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_header import check_template, render
from lorafab.domain.image import Image
from lorafab.domain.secret import KEY_SIZE, Secret
from lorafab.drivers.image_file import load_image
from lorafab.errors import BuildError, ImageError

PREFIX = "lorafab-build-"
LOCK = "lock"
SHOWN = 3
"""Lines of a failed example's output that are shown."""

_CACHES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
"""Environment variables that say where compilers keep what they made."""

_EXAMPLE = Identity("EXAMPLE", Eui64(1), Eui64(2), Secret(bytes(range(KEY_SIZE))), None, 1, None, "example")


class ImageBuilder:
    """Implements lorafab.interfaces.ImageBuilder.

    ``template`` is a file (lorafab.domain.identity_header), ``header`` the name that the build includes it by.
    ``command`` is run in ``root`` without a shell; ``{private}`` in it becomes the private folder, ``{python}`` the
    interpreter of this process. The image is ``output`` in the private folder, ``base`` the address of a plain binary.
    ``named_by`` is for messages.
    """

    def __init__(
        self,
        root: Path,
        template: Path,
        header: str,
        command: Sequence[str],
        output: str,
        timeout_s: float,
        base: int | None,
        named_by: str,
    ) -> None:
        """Raise BuildError when there is no file system in RAM, or no sound template."""
        self._root, self._header, self._command, self._output = root, header, command, output
        self._timeout_s, self._base, self._named_by = timeout_s, base, named_by
        try:
            self._template = template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(
                f"{named_by}: the header's template {template.name} cannot be read ({type(error).__name__}); restore it"
            ) from None
        check_template(self._template, template.name)
        self._place = _place_in_ram()

    def build(self, identity: Identity) -> Image:
        """Build the image of one board. Raises BuildError."""
        failure = ""
        with private_folder(self._place) as folder:
            failed = self._run(folder, identity, None)
            if failed is None:
                try:
                    return load_image(folder / self._output, named_by=self._named_by, base=self._base)
                except ImageError as error:
                    failure = str(error)
        if failed is None:
            raise BuildError(f"the build command left no image: {failure}")
        raise BuildError(
            f"the build command {failed}{self._example()}; build the product by hand, then run this board again"
        )

    def _example(self) -> str:
        """What the command says of an identity that is nobody's; empty when it says nothing."""
        with private_folder(self._place) as folder:
            output = folder / "output"
            with output.open("wb") as out:
                failed = self._run(folder, _EXAMPLE, out.fileno())
            said = output.read_text(encoding="utf-8", errors="replace").replace(str(folder), "{private}")
        if failed is None:
            return " with this board's identity, but not with an example's"
        lines = ["".join(filter(str.isprintable, line)) for line in said.splitlines() if line.strip()]
        return f", and with an example's identity it says: {' / '.join(lines[-SHOWN:])[:400]}" if lines else ""

    def _run(self, folder: Path, identity: Identity, output: int | None) -> str | None:
        """Run the command; None, or how it failed."""
        _write_private(folder / self._header, render(self._template, identity).encode())
        words = {"{private}": str(folder), "{python}": sys.executable}
        line = [_filled(word, words) for word in self._command]
        # Compilers keep caches, and in them what they compiled.
        home = dict.fromkeys(_CACHES, str(folder))
        try:
            child = subprocess.Popen(
                line,
                cwd=self._root,
                env=os.environ | home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if output is None else output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be started ({line[0]}: {error.strerror})"
        try:
            status = child.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            return f"did not end in {self._timeout_s:g} s"
        finally:
            _stop(child)
        return None if status == 0 else f"ended with status {status}"


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(name, value)
    return word


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it started: none of them may go on writing into a folder that is being wiped."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def ram_file_systems() -> list[Path]:
    """Mount points of file systems that live in RAM, from the kernel's list (proc(5), /proc/self/mounts)."""
    with suppress(OSError):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [Path(fields[1]) for fields in mounts if len(fields) > 2 and fields[2] in ("tmpfs", "ramfs")]
    return []


def _places() -> list[Path]:
    named = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm")  # noqa: S108 - private folders are made in it
    mounted = ram_file_systems()
    return [Path(place) for place in named if place and Path(place) in mounted and os.access(place, os.W_OK)]


def _place_in_ram() -> Path:
    for place in _places():
        return place
    raise BuildError(
        "neither $XDG_RUNTIME_DIR nor /dev/shm is a file system in RAM that this user may write to, and a key must not "
        "reach a disk; mount a tmpfs at /dev/shm"
    )


@contextmanager
def private_folder(place: Path) -> Iterator[Path]:
    """A folder that only this user may enter, locked while in use, overwritten and removed at the end."""
    folder, lock = _locked_folder(place)
    try:
        yield folder
    finally:
        wipe(folder)
        os.close(lock)


def _locked_folder(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        with suppress(FileNotFoundError):
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process that looks for leftovers may have taken it for one before it was locked.
            if os.path.exists(folder / LOCK):
                return folder, lock
            os.close(lock)


def remove_leftovers() -> None:
    """Wipe this user's folders whose run was killed: nobody holds their locks."""
    for folder in (folder for place in _places() for folder in place.glob(f"{PREFIX}*")):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # gone meanwhile, or being made: nothing lies in it before its lock does
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # in use
        else:
            wipe(folder)
        finally:
            os.close(lock)


def wipe(folder: Path) -> None:
    """Overwrite every file and remove the folder; again, where somebody who was just killed had one more word."""
    for _ in range(50):
        _wipe_once(folder)
        if not folder.exists():
            return
        time.sleep(0.02)


def _wipe_once(folder: Path) -> None:
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    path.chmod(0o600)
                    with path.open("r+b") as file:
                        file.write(bytes(path.stat().st_size))
    shutil.rmtree(folder, ignore_errors=True)


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
