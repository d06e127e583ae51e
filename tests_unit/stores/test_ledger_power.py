"""The power goes between any two calls that reach the disk; the model of what is left is in bench/ledger_power.py."""

import random
from pathlib import Path

from bench.ledger_power import SECTOR, Call, Disk, cut_everywhere, record_work


def disk_after(*calls: tuple[str, tuple[object, ...]]) -> Disk:
    """A disk on which these calls were made."""
    disk = Disk()
    for name, arguments in calls:
        disk.do(Call(name, arguments))
    return disk


def left(disk: Disk, place: Path, kind: str, seed: int = 1) -> dict[str, bytes]:
    """Files that a power cut leaves."""
    target = place / f"{kind}{seed}"
    disk.leave(target, random.Random(seed), kind)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_the_model_loses_what_was_not_synced(tmp_path: Path) -> None:
    """Bytes and names, each for itself; in between it keeps some sectors, some length, and the first of the names."""
    new, old = b"n" * 2 * SECTOR, b"o" * SECTOR
    disk = disk_after(
        ("open", (1, "a", True, False)),
        ("write", (1, 0, old)),
        ("fsync", (1,)),
        ("open", (9, ".", False, False)),
        ("fsync", (9,)),
        ("write", (1, 0, new)),
        ("open", (2, "b", True, False)),
        ("rename", ("b", "c")),
    )
    assert left(disk, tmp_path, "all") == {"a": new, "c": b""}
    assert left(disk, tmp_path, "none") == {"a": old}
    assert left(disk, tmp_path, "names") == {"a": old, "c": b""}
    assert left(disk, tmp_path, "bytes") == {"a": new}
    seen = [left(disk, tmp_path, "random", seed) for seed in range(60)]
    assert {tuple(files) for files in map(sorted, seen)} == {("a",), ("a", "b"), ("a", "c")}
    halves = {(files["a"][:1], files["a"][SECTOR : SECTOR + 1]) for files in seen}
    assert halves == {(b"o", b""), (b"n", b""), (b"o", b"n"), (b"n", b"n"), (b"o", b"\0"), (b"n", b"\0")}
    assert any(SECTOR < len(files["a"]) < 2 * SECTOR for files in seen)


def test_no_acknowledged_entry_is_lost_to_a_power_cut() -> None:
    """Every fifth call of some boards, a checkpoint and a rebuild; the bench cuts after each of them."""
    calls = record_work(4)
    names = [call.name for call in calls]
    assert names.count("sync") == 1
    assert names.count("rename") > 20
    wrong = [result for result in cut_everywhere(calls, images=6, every=5) if result[2] is not None]
    assert wrong == []
