"""lorafab.drivers.image_build: a board's own image, and nothing of its key left behind."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.secret import Secret
from lorafab.drivers import image_build
from lorafab.drivers.image_build import LOCK, PREFIX, ImageBuilder, private_folder, remove_leftovers
from lorafab.errors import BuildError

KEY = bytes(range(0xA0, 0xB0))
IDENTITY = Identity("S1", Eui64(0x024C464200090001), Eui64(0x00005EEF10000001), Secret(KEY), None, 3, 5, "demo")

COMPILE = """
import pathlib, re, sys
private = pathlib.Path(sys.argv[1])
key = bytes(int(x, 16) for x in re.findall("0x(..)", (private / "id.h").read_text()))
(private / "cache").mkdir()
(private / "cache" / "object").write_bytes(key)
(private / "image.bin").write_bytes(b"CODE" + key)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the kernel's list calls a file system in RAM."""
    folder = tmp_path / "ram"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(image_build, "ram_file_systems", lambda: [folder])
    return folder


def builder(tmp_path: Path, script: str = COMPILE, output: str = "image.bin", timeout_s: float = 30) -> ImageBuilder:
    """One whose compiler is a script."""
    (tmp_path / "id.h.in").write_text("{${app_key_c}}")
    return ImageBuilder(
        tmp_path,
        tmp_path / "id.h.in",
        "id.h",
        ["{python}", "-c", script, "{private}"],
        output,
        timeout_s,
        0x08000000,
        "p.yaml:1",
    )


def everything(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_image_holds_this_boards_key_and_the_folder_is_gone(tmp_path: Path, place: Path) -> None:
    """The header reaches the command, its image comes back, and nothing is left, caches included."""
    [segment] = builder(tmp_path).build(IDENTITY).segments
    assert (segment.address, segment.data) == (0x08000000, b"CODE" + KEY)
    assert list(place.iterdir()) == []


def test_a_command_without_an_image_is_told(tmp_path: Path, place: Path) -> None:
    """Whatever its status."""
    with pytest.raises(BuildError, match=r"the build command left no image: .*other.bin"):
        builder(tmp_path, output="other.bin").build(IDENTITY)
    assert list(place.iterdir()) == []


def test_only_its_owner_may_look_into_the_folder(tmp_path: Path, place: Path) -> None:
    """Folder and header alone; the command sees them so."""
    modes = (
        'import os, sys; print(*(oct(os.stat(sys.argv[1] + f).st_mode & 0o777) for f in ("", "/id.h"))); sys.exit(1)'
    )
    with pytest.raises(BuildError, match="with an example's identity it says: 0o700 0o600; build"):
        builder(tmp_path, modes).build(IDENTITY)


def test_caches_of_the_compiler_stay_in_the_folder(tmp_path: Path, place: Path) -> None:
    """Home, temporary files and caches: all of them hold what was compiled."""
    script = """
import os, sys
names = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
print(sum(os.environ[name] == sys.argv[1] for name in names)); sys.exit(1)"""
    with pytest.raises(BuildError, match="it says: 5;"):
        builder(tmp_path, script).build(IDENTITY)


def test_what_a_failing_compiler_quotes_is_an_examples(tmp_path: Path, place: Path) -> None:
    """It quotes the line with the key: shown is what it says of nobody's identity."""
    script = 'import sys; print(open(sys.argv[1] + "/id.h").read(), sys.argv[1] + "/id.h:1: no"); sys.exit(3)'
    with pytest.raises(BuildError) as caught:
        builder(tmp_path, script).build(IDENTITY)
    sentence = str(caught.value)
    assert sentence.startswith(
        "the build command ended with status 3, and with an example's identity it says: {0x00, 0x01"
    )
    assert "{private}/id.h:1: no; build the product by hand, then run this board again" in sentence
    assert "0xA0" not in sentence
    assert list(place.iterdir()) == []


def test_a_failure_of_this_board_alone_quotes_nothing(tmp_path: Path, place: Path) -> None:
    """The example builds: then nothing can be shown without showing the key."""
    script = 'import sys; t = open(sys.argv[1] + "/id.h").read(); print(t); sys.exit("0xA0" in t)'
    with pytest.raises(BuildError, match="status 1 with this board's identity, but not with an example's; build"):
        builder(tmp_path, script).build(IDENTITY)


def test_a_command_that_cannot_be_started_is_named(tmp_path: Path, place: Path) -> None:
    """The program, and why."""
    (tmp_path / "id.h.in").write_text("${app_key_c}")
    one = ImageBuilder(tmp_path, tmp_path / "id.h.in", "id.h", ["no-such-cc"], "x.bin", 1, None, "p")
    with pytest.raises(BuildError, match=r"cannot be started \(no-such-cc: No such file or directory\)"):
        one.build(IDENTITY)


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path, place: Path) -> None:
    """After the time limit nobody of its group lives, and the folder is gone."""
    marker = tmp_path / "child"
    script = f"""
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({str(marker)!r}).write_text(str(child.pid))
time.sleep(600)"""
    with pytest.raises(BuildError, match=r"did not end in 0.7 s"):
        builder(tmp_path, script, timeout_s=0.7).build(IDENTITY)
    state = Path(f"/proc/{marker.read_text()}/stat")
    for _ in range(500):  # killed already, but the kernel takes its time
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("the command's child lives on")
    assert list(place.iterdir()) == []


def test_a_killed_run_leaves_a_folder_that_the_next_start_wipes(tmp_path: Path, place: Path) -> None:
    """SIGKILL with the key lying there: overwritten in place, then removed; a folder in use is left alone."""
    hold = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from pathlib import Path
from lorafab.drivers.image_build import private_folder
with private_folder(Path({str(place)!r})) as folder:
    (folder / "id.h").write_bytes({KEY!r})
    print(folder, flush=True)
    time.sleep(600)"""
    child = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    remove_leftovers()
    assert KEY in everything(place), "its owner still works with it"
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = os.open(folder / "id.h", os.O_RDONLY)
    try:
        remove_leftovers()
        assert os.pread(kept, 16, 0) == bytes(16), "overwritten before it was unlinked"
    finally:
        os.close(kept)
        child.stdout.close()
    assert list(place.iterdir()) == []


def test_leftovers_of_others_are_not_touched(tmp_path: Path, place: Path) -> None:
    """A folder without a lock is just being made; a link leads elsewhere."""
    young, link, elsewhere = place / f"{PREFIX}young", place / f"{PREFIX}link", tmp_path / "elsewhere"
    young.mkdir()
    elsewhere.mkdir()
    (elsewhere / LOCK).write_text("")
    link.symlink_to(elsewhere)
    remove_leftovers()
    assert young.is_dir()
    assert (elsewhere / LOCK).is_file()


def test_a_folder_is_locked_while_it_is_in_use(place: Path) -> None:
    """And private."""
    with private_folder(place) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with (folder / LOCK).open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not folder.exists()


@pytest.mark.usefixtures("place")
def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the place in product.yaml that names it."""
    with pytest.raises(BuildError, match=r"p.yaml:1: the header's template t.in cannot be read \(FileNotFoundError\)"):
        ImageBuilder(tmp_path, tmp_path / "t.in", "id.h", ["x"], "x.bin", 1, None, "p.yaml:1")


def test_without_a_file_system_in_ram_nothing_is_built(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key must not reach a disk."""
    monkeypatch.setattr(image_build, "ram_file_systems", list)
    with pytest.raises(BuildError, match=r"neither .* is a file system in RAM .*; mount a tmpfs at /dev/shm"):
        builder(tmp_path)


def test_the_kernels_list_names_file_systems_in_ram() -> None:
    """Every one of them, and nothing else."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    wanted = {fields[1] for fields in mounts if fields[2] in ("tmpfs", "ramfs")}
    assert {str(mounted) for mounted in image_build.ram_file_systems()} == wanted
