"""Runs a PASS, a FAIL and an ERROR with everything that makes pytest talk, then searches all they left for the keys.

    python -m bench.leaks

Searched: the data folder, terminal output, the JUnit file, pytest's cache and the temporary folder, for any 6
consecutive bytes of any key that the boards were given, as hex with any separator, base64, decimal or hex list, 32-bit
words of either order, Python repr, and raw. The board files themselves are silicon, and hold the key on purpose: they
lie outside, and are where the search learns the keys. A control plants each form and must find it.
"""

import base64
import html
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import APP_KEY_OFFSET
from lorafab.drivers.clock import SystemClock
from lorafab.stores.keyring import demo_paths, load_private, open_key
from lorafab.stores.rotation import slots_of
from lorafab.stores.tiny_ledger import TinyLedger

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 6
BLOCK = 0x0803E800
TALKATIVE = ["-l", "--tb=long", "-rA", "-vv", "--log-level=DEBUG", "--full-trace", "-o", "log_cli=true"]
# A whole byte of the key that reads as ones: a single bit would be right by chance in half of the runs.
STUCK = ";".join(f"stuck_bit={BLOCK + APP_KEY_OFFSET + 5:#x}.{bit}=1" for bit in range(8))
RUNS = {"PASS": ("", 0), "FAIL": (STUCK, 1), "ERROR": ("unplug_after=3000", 3)}


def windows(key: bytes) -> Iterator[bytes]:
    """All pieces of the key that may not be found."""
    return (key[at : at + WINDOW] for at in range(len(key) - WINDOW + 1))


class Haystack:
    """One text, in the shapes in which a key could hide."""

    def __init__(self, data: bytes) -> None:
        plain = data.decode("latin-1")
        # Reports nest JSON in HTML attributes: undo both, more than once.
        for _ in range(3):
            plain += "\n" + html.unescape(plain[-len(data) * 2 :]).replace("\\\\", "\\")
        self.raw, self.plain = data, plain
        lowered = plain.lower()
        self.hex = re.sub(r"[^0-9a-f]", "", re.sub(r"0x|\\x|\\u00", "", lowered))
        self.numbers = [int(text) for text in re.findall(r"\d{1,10}", plain)]
        self.hexes = [int(text, 16) for text in re.findall(r"0x([0-9a-f]{1,8})\b", lowered)]

    def find(self, key: bytes) -> list[str]:
        """Shapes in which a piece of the key was found."""
        found = {name for piece in windows(key) for name in self._shapes(piece)}
        for order in ("<", ">"):
            for offset in range(0, len(key) - 7, 4):
                pair = struct.unpack(f"{order}2I", key[offset : offset + 8])
                texts = "".join(f"{word:08x}" for word in pair)
                if texts in self.hex or _within(pair, self.numbers) or _within(pair, self.hexes):
                    found.add(f"32-bit words {order}")
        return sorted(found)

    def _shapes(self, piece: bytes) -> Iterator[str]:
        if piece in self.raw:
            yield "raw"
        if piece.hex() in self.hex:
            yield "hex"
        if repr(piece)[2:-1] in self.plain:
            yield "repr"
        if _within(tuple(piece), self.numbers) or _within(tuple(piece), self.hexes):
            yield "list"
        for shift in range(3):
            text = base64.b64encode(bytes(shift) + piece + bytes(-(shift + len(piece)) % 3)).decode()
            text = text[(0, 2, 3)[shift] : 8 if shift == 0 else len(text) - (4 if (shift + len(piece)) % 3 else 0)]
            if len(text) >= 6 and (text in self.plain or text.replace("+", "-").replace("/", "_") in self.plain):
                yield "base64"


def _within(needle: tuple[int, ...], numbers: list[int]) -> bool:
    first, size = needle[0], len(needle)
    return any(tuple(numbers[at : at + size]) == needle for at, number in enumerate(numbers) if number == first)


def planted(key: bytes) -> dict[str, bytes]:
    """Every shape once, for the control."""
    words = struct.unpack("<4I", key)
    return {
        "hex": key.hex(":").encode(),
        "hex dump": " ".join(f"{byte:02X}" for byte in key).encode(),
        "base64": base64.b64encode(b"x" + key),
        "urlsafe base64": base64.urlsafe_b64encode(b"xy" + key),
        "decimal list": str(list(key)).encode(),
        "hex list": str([hex(byte) for byte in key]).encode(),
        "words": str(list(words)).encode(),
        "hex words": " ".join(hex(word) for word in words).encode(),
        "big-endian words": str(list(struct.unpack(">4I", key))).encode(),
        "repr": repr(key).encode(),
        "escaped in HTML": html.escape(repr(key)).encode(),
        "raw": key,
    }


def run(folder: Path, name: str, faults: str) -> tuple[int, bytes]:
    """One talkative run; returns its status and output."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),
        "LORAFAB_VIRTUAL_BOARD": str(folder / "silicon" / f"{name}.board"),
        "LORAFAB_VIRTUAL_FAULTS": faults,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "pytest", "--station=sim", f"--data={folder / 'data'}", *TALKATIVE]
    command += [f"--junitxml={folder / 'out' / f'{name}.xml'}", "-o", f"cache_dir={folder / 'cache'}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120)
    (folder / "out" / f"{name}.txt").write_bytes(done.stdout + done.stderr)
    return done.returncode, done.stdout


def main() -> int:
    """Run, collect, search; status 1 when a piece of a key is found."""
    folder = Path(tempfile.mkdtemp(prefix="lorafab-leaks-"))
    for part in ("silicon", "out", "tmp", "cache"):
        (folder / part).mkdir()
    failures = []
    for name, (faults, wanted) in RUNS.items():
        status, output = run(folder, name, faults)
        print(f"{name}: status {status}, {output.decode().strip().splitlines()[-1]}")
        if status != wanted:
            failures.append(f"the run that should end in {name} ended with {status}")
    private = load_private(demo_paths(folder / "data")[0], None)
    ledger = TinyLedger.open(folder / "data", SystemClock(), read_only=True)
    keys = [
        open_key(private, Eui64.parse(claim.dev_eui), key, slot).reveal()
        for claim in ledger.documents()
        for key in claim.generations
        for slot in slots_of(key)
    ]
    for key in keys:
        failures += [
            f"control: {shape} was not found" for shape, data in planted(key).items() if not Haystack(data).find(key)
        ]
    searched = [
        path for part in ("data", "out", "tmp", "cache") for path in (folder / part).rglob("*") if path.is_file()
    ]
    searched += [path for path in (ROOT / ".pytest_cache").rglob("*") if path.is_file()]
    size = 0
    for path in searched:
        data = path.read_bytes()
        size += len(data)
        haystack = Haystack(data)
        failures += [f"{path}: {shape}" for key in keys for shape in haystack.find(key)]
    print(f"{len(keys)} keys, {len(searched)} files, {size} bytes searched, {len(planted(bytes(16)))} control shapes")
    print("\n".join(failures) if failures else "no piece of a key was found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
