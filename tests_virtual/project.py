"""A project of its own on virtual boards: the committed files, with lines of the lot exchanged."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lorafab.domain import identity_block
from lorafab.domain.identity_block import IdentityBlock
from lorafab.drivers.clock import SystemClock
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.keyring import PrivateKey, demo_paths, load_private
from lorafab.stores.tiny_ledger import TinyLedger
from tests_virtual.test_line import FLASH, IDENTITY, ROOT, Bench, Result

INI = """
[pytest]
testpaths = tests_production
addopts = -ra --strict-markers --disable-plugin-autoload --import-mode=importlib -p lorafab.plugin
xfail_strict = true
filterwarnings = error
"""


@dataclass
class Project(Bench):
    """A line in ``folder``/project, its data and its boards beside it."""

    @classmethod
    def make(cls, folder: Path) -> "Project":
        """Copy what a line needs."""
        root = folder / "project"
        for part in ("tests_production", "stations", "firmware/endnode-wle5"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("src", "hal", "__pycache__"))
        (root / "pytest.ini").write_text(INI)
        return cls(folder)

    def edit_lot(self, old: str, new: str) -> None:
        """Exchange a piece of the lot file's text."""
        path = self.folder / "project" / "stations" / "lots" / "demo.yaml"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def execute(self, *command: str, board: str = "b1", **environment: str) -> subprocess.CompletedProcess[str]:
        """Any command in the project, with the board in the jig."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LORAFAB_", "PYTEST_"))}
        paths = {"LORAFAB_VIRTUAL_BOARD": str(self.board(board)), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command,
            cwd=self.folder / "project",
            env={**inherited, **paths, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def rebind(self, dev_eui: str, chip: str) -> None:
        """The chip was replaced."""
        done = self.execute(
            sys.executable, "-m", "lorafab.cli", "ledger", "rebind", dev_eui, f"--chip={chip}",
            "--reason=chip replaced", "--operator=Eve", "--data", str(self.data),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def block(self, board: str) -> IdentityBlock:
        """The identity block in a board's flash."""
        at = IDENTITY - FLASH
        found = identity_block.decode(self.flash(board)[at : at + identity_block.BLOCK_SIZE])
        assert found is not None
        return found

    @property
    def ledger(self) -> TinyLedger:
        """The ledger as it is on disk now."""
        return TinyLedger.open(self.data, SystemClock(), read_only=True)

    def exportable(self) -> list[ClaimDocument]:
        """What an export would ship: passed, with the generation that was proven."""
        return [document for document in self.ledger.documents() if document.state == "passed"]

    def export(self) -> list[dict[str, str]]:
        """What `lorafab export` ships, one device a row; none where it says that no board has passed."""
        file = self.folder / "export.csv"
        done = self.execute(
            sys.executable, "-m", "lorafab.cli", "export", "--lot=demo", "--demo", "--format=csv", "--plain",
            f"--private={demo_paths(self.data)[0]}", f"--out={file}", f"--data={self.data}", "--operator=Eve",
        )  # fmt: skip
        if done.returncode:
            assert "has passed" in done.stderr
            return []
        with file.open(newline="") as rows:
            return list(csv.DictReader(rows))

    @property
    def private(self) -> PrivateKey:
        """The demo vault's private half."""
        return load_private(demo_paths(self.data)[0], None)


__all__ = ["Project", "Result"]
