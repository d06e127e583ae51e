"""The whole line as its users run it: `pytest --station=sim` in a process of its own, on virtual boards."""

import json
import os
import signal
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from intelhex import IntelHex

ROOT = Path(__file__).resolve().parents[1]
FLASH, IDENTITY, NVM, END = 0x08000000, 0x0803E800, 0x0803F000, 0x08040000


@dataclass
class Bench:
    """A data folder, and boards by name."""

    folder: Path

    @property
    def data(self) -> Path:
        """Of all runs."""
        return self.folder / "data"

    def board(self, name: str) -> Path:
        """File of a virtual board."""
        return self.folder / f"{name}.board"

    def flash(self, name: str) -> bytes:
        """What a board's flash holds."""
        return self.board(name).read_bytes()[: END - FLASH]

    def run(self, *arguments: str, board: str = "b1", **environment: str) -> "Result":
        """One run."""
        done = self.execute(
            sys.executable, "-m", "pytest", "--station=sim", f"--data={self.data}", *arguments,
            board=board, **environment,
        )  # fmt: skip
        return Result(done.returncode, done.stdout + done.stderr, self)

    def execute(self, *command: str, board: str = "b1", **environment: str) -> subprocess.CompletedProcess[str]:
        """Any command with the board in the jig."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LORAFAB_", "PYTEST_"))}
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**inherited, "LORAFAB_VIRTUAL_BOARD": str(self.board(board)), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def lorafab(self, *arguments: str) -> Any:
        """A command's JSON document."""
        done = self.execute(
            sys.executable, "-m", "lorafab.cli", *arguments, "--json", "--data", str(self.data),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def labels(self) -> list[str]:
        """Three labels that the lot would accept."""
        labels: list[str] = self.lorafab("lot", "show", "demo")["example_labels"]
        return labels


@dataclass
class Result:
    """What a run showed."""

    status: int
    text: str
    bench: Bench

    @property
    def line(self) -> list[str]:
        """Words of the contract's line."""
        return next(line for line in reversed(self.text.splitlines()) if line.startswith("lorafab: ")).split()

    @property
    def sentences(self) -> str:
        """The text with its line breaks undone."""
        return " ".join(self.text.split())

    @property
    def record(self) -> dict[str, Any]:
        """The record of this run."""
        name = self.line[2] if self.line[2] != "-" else f"unidentified/{self.line[3]}"
        file = json.loads((self.bench.data / "records" / f"{name}.json").read_text())
        found: dict[str, Any] = next(one for one in file["attempts"].values() if one["run"] == self.line[3])
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with nothing on it."""
    return Bench(tmp_path)


def image() -> dict[int, int]:
    """Bytes of the committed image by address."""
    found: dict[int, int] = IntelHex(str(ROOT / "firmware" / "endnode-wle5" / "endnode-wle5.hex")).todict()
    found.pop("start_addr", None)  # type: ignore[call-overload]
    return found


def test_the_board_file_holds_image_identity_and_counters_and_nothing_else(bench: Bench) -> None:
    """Read without lorafab: image bytes exact, block valid, every other span as erased except NVM."""
    result = bench.run()
    assert result.status == 0, result.text
    flash, wanted = bench.flash("b1"), image()
    assert all(flash[address - FLASH] == byte for address, byte in wanted.items())
    block = flash[IDENTITY - FLASH : IDENTITY - FLASH + 96]
    assert block[:4] == b"LFID"
    assert (block[4], block[5], int.from_bytes(block[6:8], "little")) == (1, 0, 96)
    assert block[8:16].hex().upper() == result.line[2]
    assert len(set(block[24:40])) > 4  # a key
    assert block[40:56] == bytes(16)
    assert block[56:72].rstrip(b"\0").decode() == result.record["serial"]
    assert (block[72], block[73]) == (5, 1)  # EU868, first generation
    assert int.from_bytes(block[80:84], "little") == zlib.crc32(b"demo")
    assert int.from_bytes(block[92:96], "little") == zlib.crc32(block[:92])
    programmed = set(wanted) | set(range(IDENTITY, IDENTITY + 96)) | set(range(NVM, END))
    assert all(flash[at - FLASH] == 0xFF for at in range(FLASH, END) if at not in programmed)
    nvm = flash[NVM - FLASH :]
    assert nvm[:4] == b"LFNV"
    assert nvm[32:] == b"\xff" * (len(nvm) - 32)


def test_stock_pyocd_sees_the_same_board(bench: Bench) -> None:
    """`pyocd list` shows the probe, `pyocd cmd` reads what the file holds."""
    assert bench.run().status == 0
    listed = bench.execute(sys.executable, "-m", "pyocd", "list")
    assert "jig0" in listed.stdout
    saved = bench.folder / "read.bin"
    command = [sys.executable, "-m", "pyocd", "cmd", "-c", f"savemem {FLASH:#x} {END - FLASH:#x} {saved}"]
    done = bench.execute(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert saved.read_bytes() == bench.flash("b1")


def test_labels_and_chips_are_bound_to_each_other(bench: Bench) -> None:
    """b1 with L1, again, with L2, and b2 with L1: 0, 0, 1, 1; refusals write nothing."""
    one, two, _ = bench.labels()
    first = bench.run(f"--label={one}")
    again = bench.run(f"--label={one}")
    assert (first.status, again.status) == (0, 0), first.text + again.text
    assert first.record["keys"] == again.record["keys"]
    assert bench.lorafab("ledger", "show", first.line[2])["dev_nonce"] == 2
    before = bench.flash("b1")
    other_label = bench.run(f"--label={two}")
    assert other_label.status == 1
    assert first.line[2] in other_label.sentences
    assert bench.flash("b1") == before
    other_chip = bench.run(f"--label={one}", board="b2")
    assert other_chip.status == 1
    assert first.record["chip_id"] in other_chip.sentences
    assert bench.flash("b2") == b"\xff" * (END - FLASH)
    assert bench.lorafab("ledger", "check")["problems"] == []


@pytest.mark.parametrize("phase", ["call", "teardown"])
@pytest.mark.parametrize("shot", ["SIGINT", "SIGINT:2", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_with_everything_off_and_recorded(bench: Bench, phase: str, shot: str) -> None:
    """Status 2, power off, probe and port closed, record written, and the rerun passes."""
    result = bench.run("-p", "tests_virtual.watch", LORAFAB_SHOOT=f"{phase}:{shot}", PYTHONPATH=str(ROOT))
    assert result.status == 2, result.text
    assert result.record["verdict"] == "ABORTED"
    log = next(line for line in result.text.splitlines() if line.startswith("WATCH "))
    assert log.index("power(True,)") < log.index("power(False,)")
    assert "probe closed" in log
    assert "port closed" in log
    assert not (bench.data / "virtual" / "jig0.uart").is_symlink()
    assert bench.run().status == 0


def test_a_second_signal_that_comes_from_outside_is_survived(bench: Bench) -> None:
    """Ctrl-C twice at a random moment, as a nervous operator does."""
    command = [sys.executable, "-m", "pytest", "--station=sim", f"--data={bench.data}"]
    environment = {**os.environ, "LORAFAB_VIRTUAL_BOARD": str(bench.board("b1"))}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "station sim" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 2, text
    assert text.rstrip().splitlines()[-1].startswith("lorafab: ABORTED ")


# --- bad input: one sentence, the right status, nothing lost, and the rerun works ---


def refused(bench: Bench, status: int, *words: str, arguments: tuple[str, ...] = (), **environment: str) -> Result:
    """A run that must end so, and a rerun that must pass."""
    result = bench.run(*arguments, **environment)
    assert result.status == status, result.text
    for word in words:
        assert word in result.sentences
    again = bench.run()
    assert again.status == 0, again.text
    return result


def test_an_unreadable_label(bench: Bench) -> None:
    """A picture without a code."""
    from PIL import Image

    picture = bench.folder / "blank.png"
    Image.new("L", (640, 480), 200).save(picture)
    result = refused(bench, 3, "no code can be read", arguments=(f"--label-image={picture}",))
    assert result.line[1:3] == ["ERROR", "-"]


def test_a_damaged_checksum(bench: Bench) -> None:
    """Refused before anything is claimed."""
    label = bench.labels()[0]
    wrong = label[:-4] + ("0000" if label[-4:] != "0000" else "0001")
    refused(bench, 3, "checksum", arguments=(f"--label={wrong}",))


def test_a_label_never_becomes_a_path(bench: Bench) -> None:
    """Neither does anything else that is typed."""
    result = refused(bench, 3, arguments=("--label=../../../../tmp/x",))
    assert result.line[2] == "-"
    assert {path.name for path in bench.folder.iterdir()} <= {"data", "b1.board"}


def test_an_unplugged_probe(bench: Bench) -> None:
    """In the middle of the flash session."""
    refused(bench, 3, "connection to the chip was lost", LORAFAB_VIRTUAL_FAULTS="unplug_after=1500")


def test_a_silent_line(bench: Bench) -> None:
    """The board is set aside; after the repair the same key stays."""
    result = refused(bench, 1, "sent no line", LORAFAB_VIRTUAL_FAULTS="uart=silent")
    assert result.record["keys"]["generation"] == 1


def test_a_silence_because_the_supply_failed(bench: Bench) -> None:
    """Neither the line nor the probe has an answer: that is no fault of the firmware, so the board may be good."""
    refused(bench, 3, "connection to the chip was lost", LORAFAB_VIRTUAL_FAULTS="power_cut@host_byte:20")


def test_a_wrong_chip(bench: Bench) -> None:
    """Another family in the jig: nothing is claimed, nothing is written."""
    result = refused(bench, 1, "device id 0x415", LORAFAB_VIRTUAL_FAULTS="idcode=0x10016415")
    assert result.record["keys"] is None


def test_a_stuck_bit(bench: Bench) -> None:
    """pyOCD reports success; lorafab reads back. A byte that sticks, because one bit may be right by chance."""
    stuck = ";".join(f"stuck_bit=0x0803E81D.{bit}=1" for bit in range(8))
    result = bench.run(LORAFAB_VIRTUAL_FAULTS=stuck)
    assert result.status == 1, result.text
    assert "1 byte from 0x0803e81d on differ" in result.sentences


def test_a_power_cut_inside_the_identity_block(bench: Bench) -> None:
    """The block is torn; the rerun writes the next generation over it."""
    result = refused(bench, 3, LORAFAB_VIRTUAL_FAULTS="power_cut_at=0x0803E820")
    assert result.record["keys"]["evidence"] == "asserted"
    owner = bench.lorafab("ledger", "show", result.line[2])
    assert (owner["proven"], owner["state"]) == (2, "passed")


def test_a_full_disk(bench: Bench) -> None:
    """Told at the start, before a board is touched; whatever was on disk stays."""
    assert bench.run().status == 0
    small = bench.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        command = [sys.executable, "-m", "pytest", "--station=sim", f"--data={small}"]
        done = bench.execute(*command)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 3, done.stdout
    assert "free" in done.stdout
    assert bench.run().status == 0


def test_a_closed_output_does_not_change_the_verdict(bench: Bench) -> None:
    """`pytest --station=sim | head -1`."""
    command = f"{sys.executable} -m pytest --station=sim --data={bench.data} | head -1; exit ${{PIPESTATUS[0]}}"
    assert bench.execute("bash", "-c", command).returncode == 0


def test_two_runs_at_one_station(bench: Bench) -> None:
    """The second one is refused and names the process that is in."""
    command = [sys.executable, "-m", "pytest", "--station=sim", f"--data={bench.data}"]
    environment = {**os.environ, "LORAFAB_VIRTUAL_BOARD": str(bench.board("b1"))}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert "station sim" in first.stdout.readline()
    second = bench.run(board="b2")
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert second.status == 3
    assert f"in use by pid {first.pid}" in second.sentences


def test_hostile_serial_text_reaches_the_report_harmlessly(bench: Bench) -> None:
    """Control bytes and markup of the line are text in the page."""
    result = bench.run(LORAFAB_VIRTUAL_FAULTS="uart=garbage")
    assert result.status == 1
    page = (
        (ROOT / result.line[4]).read_text() if not result.line[4].startswith("/") else Path(result.line[4]).read_text()
    )
    assert "\\xc9" in page
