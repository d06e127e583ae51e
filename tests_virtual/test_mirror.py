"""The mirror of sealed keys, on the line: without it no board is touched."""

import json
import subprocess
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.stores.keyring import open_box
from tests_virtual.project import Project


@pytest.fixture
def line(tmp_path: Path) -> Project:
    """A station whose mirror is not mounted yet."""
    line = Project.make(tmp_path)
    station = tmp_path / "project" / "stations" / "sim.yaml"
    text = station.read_text()
    assert text.count("{demo: true}") == 1
    station.write_text(text.replace("{demo: true}", f'{{demo: true, mirror: "{tmp_path / "disk" / "mirror"}"}}'))
    return line


def test_a_mirror_that_is_not_mounted_stops_the_line_before_a_board(line: Project) -> None:
    """ERROR, and the board in the jig has not even been powered; once it is there the board passes, and is in it."""
    refused = line.run()
    assert refused.status == 3, refused.text
    assert "mirror is no folder; mount the disk, or correct the station file" in refused.sentences
    assert not line.board("b1").exists()
    mirror = line.folder / "disk" / "mirror"
    mirror.mkdir(parents=True)
    passed = line.run()
    assert passed.status == 0, passed.text
    [file] = mirror.iterdir()
    kept, board = json.loads(file.read_text()), line.block("b1")
    assert (kept["dev_eui"], kept["generation"], kept["slot"]) == (passed.line[2], 1, "appkey")
    opened = open_box(line.private, Eui64.parse(kept["dev_eui"]), 1, "appkey", kept["boxes"][0]["box"])
    assert opened.same_as(board.app_key)


def test_a_full_mirror_stops_the_line_before_a_board(line: Project) -> None:
    """ERROR with the space that is wanted; nothing is claimed."""
    disk = line.folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        (disk / "mirror").mkdir()
        refused = line.run()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert refused.status == 3, refused.text
    assert "1024 KiB are wanted; free space and start again" in refused.sentences
    assert not line.board("b1").exists()
    assert list(line.ledger.documents()) == []
