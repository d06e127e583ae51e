"""The records: what was measured on a board, kept for ever.

``DATA/records/<DevEUI>.json``: one TinyDB file a board, table ``attempts``, one document a run;
``unidentified/<run>.json`` for a run that never learned a DevEUI; ``pictures/<run>.png`` or ``.jpg``. Records are added
and never changed. Names of files are made of checked run ids and DevEUIs only: a label never becomes a path.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lorafab.domain.identity import Eui64
from lorafab.domain.record import RunRecord
from lorafab.errors import RecordError
from lorafab.stores.atomic import disk_errors, make_folder, open_table, require_space, write_file
from lorafab.stores.lock import FileLock

_RUN = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_NEEDED = 4 << 20  # bytes free before a record is written: hundreds of attempts of 10 kB
_TABLE = "attempts"
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}  # PNG 3rd ed. 5.2; JPEG: ITU-T T.81 B.1.1.3 (SOI)


def checked_run(run: str) -> str:
    """Return ``run`` when it is a run id, 1 to 64 of ``0-9A-Za-z-``; raises RecordError: it becomes a file's name."""
    if not _RUN.fullmatch(run):
        raise RecordError(f"{run[:80]!r} is no run id; one is made of 1 to 64 letters, digits and dashes")
    return run


class RecordStore:
    """The records under ``data_dir``; several processes may use it. Reading needs no lock."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "records"
        self._unidentified = self._folder / "unidentified"
        self._pictures = self._folder / "pictures"

    def prepare(self) -> None:
        """Make the folders and check for free space, before a board is touched. Raises RecordError."""
        make_folder(self._unidentified, RecordError)
        make_folder(self._pictures, RecordError)
        require_space(self._folder, _NEEDED, RecordError)

    def append(self, record: RunRecord) -> bool:
        """Keep a record, durably (2 fsyncs); whether it was added.

        False: this run has a record already, which stays as it is; so a commit may be repeated after a crash.
        Raises RecordError; then nothing was changed.
        """
        path = self._path(record)
        document = _document(record)
        make_folder(path.parent, RecordError)
        with FileLock(self._folder / "lock", f"the record store {self._folder}", RecordError):
            table = open_table(path, _TABLE, RecordError)
            if any(kept.get("run") == record.run for kept in table) or self._path_unidentified(record.run).exists():
                return False
            table.insert(document)
        return True

    def get(self, run: str, dev_eui: str | None = None) -> RunRecord | None:
        """Find the record of a run; None when there is none. Raises RecordError.

        Reads every file's bytes (some seconds at 100 000 boards), or only that of the board ``dev_eui`` where the
        caller knows that it can be no other.
        """
        needle = checked_run(run).encode()
        alone = self._path_unidentified(run)
        if alone.exists():
            return next(self._load(alone), None)
        for path in self._boards() if dev_eui is None else [self._path_board(run, dev_eui)]:
            with disk_errors(path, RecordError):
                if not path.exists() or needle not in path.read_bytes():  # ten times cheaper than parsing
                    continue
            for record in self._load(path):
                if record.run == run:
                    return record
        return None

    def attempts(self, dev_eui: Eui64) -> list[RunRecord]:
        """All runs of a board, in the order in which they were kept. Raises RecordError."""
        return list(self._load(self._folder / f"{dev_eui}.json"))

    def all_runs(self) -> Iterator[RunRecord]:
        """All records: boards by DevEUI, then runs without one. Raises RecordError at a damaged file."""
        for path in (*self._boards(), *sorted(self._unidentified.glob("*.json"))):
            yield from self._load(path)

    def examine(self) -> Iterator[RunRecord | str]:
        """All records, as :meth:`all_runs`; for a damaged file one sentence, and then the others."""
        for path in (*self._boards(), *sorted(self._unidentified.glob("*.json"))):
            try:
                yield from list(self._load(path))
            except RecordError as problem:
                yield str(problem)

    def save_picture(self, run: str, picture: bytes) -> tuple[str, str]:
        """Keep the label's picture (PNG or JPEG), durably: its name in ``records/pictures/`` and its SHA-256, hex.

        Raises RecordError, also for bytes that are neither.
        """
        kind = next((kind for magic, kind in _KINDS.items() if picture.startswith(magic)), None)
        if kind is None:
            raise RecordError(f"the picture of run {checked_run(run)} is neither PNG nor JPEG; check the camera")
        make_folder(self._pictures, RecordError)
        name = f"{checked_run(run)}.{kind}"
        write_file(self._pictures / name, picture, RecordError)
        return name, hashlib.sha256(picture).hexdigest()

    def picture_path(self, name: str) -> Path:
        """Where the picture of :attr:`PictureRecord.file` lies. Raises RecordError for a name that is no picture's."""
        run, dot, kind = name.rpartition(".")
        if not dot or kind not in _KINDS.values():
            raise RecordError(f"{name[:80]!r} is no picture's name; the record is damaged")
        return self._pictures / f"{checked_run(run)}.{kind}"

    def _path(self, record: RunRecord) -> Path:
        run = checked_run(record.run)
        if record.dev_eui is None:
            return self._path_unidentified(run)
        return self._path_board(run, record.dev_eui)

    def _path_board(self, run: str, dev_eui: str) -> Path:
        try:
            return self._folder / f"{Eui64.parse(dev_eui)}.json"
        except ValueError as problem:
            raise RecordError(f"run {run} names {dev_eui[:80]!r}, which is no DevEUI; this is a fault") from problem

    def _path_unidentified(self, run: str) -> Path:
        return self._unidentified / f"{run}.json"

    def _boards(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _load(self, path: Path) -> Iterator[RunRecord]:
        for document in open_table(path, _TABLE, RecordError):
            try:
                yield RunRecord.model_validate(document)
            except ValidationError as problem:
                where = ".".join(str(part) for part in problem.errors()[0]["loc"])
                raise RecordError(
                    f"{path} holds a record that is damaged or of another version (at {where or 'the top'}); keep a "
                    "copy of it, then restore it from the backup"
                ) from problem


def _document(record: RunRecord) -> dict[str, Any]:
    """JSON-ready; JSON has no NaN or infinity, so such a measured value is kept as the text ``nan`` or ``inf``."""
    document = record.model_dump(mode="python")
    for step in document["steps"]:
        for measurement in step["measurements"]:
            value = measurement["value"]
            if isinstance(value, float) and not math.isfinite(value):
                measurement["value"] = str(value)
    return document
