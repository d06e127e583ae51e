"""lorafab/virtual/bench.py and `lorafab bench flash`: figures that repeat, beside the floor of the data sheet."""

import dataclasses
import json

import pytest

from lorafab.cli import main
from lorafab.cli.bench import _CASES, _LINE, _WAYS
from lorafab.cli.bench import _flash as flash_of_the_line
from lorafab.virtual import bench

SIZE = 16384
IMAGE = bench.random_image(SIZE)
BOARDS = ("wle5", "l072", "nrf52")


def line(name: str, case: str, khz: int = 4000) -> bench.Result:
    """The line's own way."""
    return bench.measure(name, khz, case, IMAGE, "lorafab", flash_of_the_line)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("way", bench.PYOCD_WAYS)
@pytest.mark.parametrize("case", ["virgin", "one-page"])
def test_pyocds_ways_arrive_in_more_than_the_floor(name: str, way: str, case: str) -> None:
    """What is in the flash is judged; nothing is faster than the silicon."""
    image = IMAGE[:4096]
    result = bench.measure(name, 10_000, case, image, way, bench.pyocd_way(way))
    assert result.verified
    assert result.simulated_ms > result.row_floor_ms
    assert result.words > 0


@pytest.mark.parametrize("name", BOARDS)
def test_the_line_changes_what_has_to_change_and_nothing_else(name: str) -> None:
    """Pages and units: a virgin board none and all, an identical one nothing, one page that, a tenth that."""
    times = bench.chip_of(name).flash_times
    pages = SIZE // times.page
    tenth = len(range(pages // 2 % 10, pages, 10))
    due = {
        "virgin": (0, (SIZE + bench.BLOCK_BYTES) // times.unit),  # in half pages: the block is one and a half
        "identical": (0, 0),
        "one-page": (1, times.page // times.unit),
        "ten-percent": (tenth, tenth * times.page // times.unit),
    }
    for case, (erases, words) in due.items():
        result = line(name, case)
        assert result.verified
        assert (result.erases, result.words) == (erases, words), case
        assert result.simulated_ms > result.row_floor_ms


@pytest.mark.parametrize(
    ("name", "case", "limit"),
    [
        ("wle5", "virgin", 1.1),
        ("l072", "virgin", 1.2),
        ("nrf52", "virgin", 1.2),
        ("l072", "ten-percent", 1.2),
        ("nrf52", "ten-percent", 1.2),
    ],
)
def test_a_session_takes_little_more_than_the_flash_itself(name: str, case: str, limit: float) -> None:
    """A hundred KiB (a smaller image would hide nothing): connecting, identity, checksums and verifying included."""
    image = bench.random_image(102400)
    result = bench.measure(name, 4000, case, image, "lorafab", flash_of_the_line)
    assert result.verified
    assert result.row_floor_ms < result.simulated_ms < limit * result.row_floor_ms


@pytest.mark.parametrize(("case", "limit_ms"), [("identical", 90), ("one-page", 120)])
def test_a_board_that_hardly_changes_is_soon_done(case: str, limit_ms: int) -> None:
    """A hundred KiB on an STM32WLE5."""
    result = bench.measure("wle5", 4000, case, bench.random_image(102400), "lorafab", flash_of_the_line)
    assert result.verified
    assert result.simulated_ms <= limit_ms


def test_the_floors_are_data_sheet_times() -> None:
    """Twelve thousand eight hundred double words and those of the block; one page erased and written; nothing."""
    wle5 = bench.chip_of("wle5")
    assert bench.floor_ns(wle5, "virgin", 102400) == (12800 + 12) * 81_690
    assert bench.floor_ns(wle5, "virgin", 102400, rows=True) == 12800 * 59_700 + 12 * 81_690
    assert bench.floor_ns(wle5, "one-page", 102400) == 22_020_000 + 256 * 81_690
    assert bench.floor_ns(wle5, "ten-percent", 102400) == 5 * (22_020_000 + 256 * 81_690)
    assert bench.floor_ns(wle5, "identical", 102400) == 0
    assert bench.floor_ns(bench.chip_of("l072"), "virgin", 102400, rows=True) == 1602 * 3_280_000


def test_the_same_run_gives_the_same_figures() -> None:
    """Simulated time does not know the computer's speed."""
    assert line("wle5", "virgin") == line("wle5", "virgin")


def test_a_faster_wire_is_faster_and_the_floor_stays() -> None:
    """Only the wire's part of the time changes."""
    slow, fast = (line("wle5", "one-page", khz) for khz in (1000, 10_000))
    assert fast.simulated_ms < slow.simulated_ms
    assert fast.floor_ms == slow.floor_ms


def test_the_command_prints_a_table_and_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """For people a line a session, with the digest; for programs one JSON document."""
    arguments = ["bench", "flash", "--board", "wle5", "--size", "4096", "--way", "lorafab", "--way", "smart"]
    arguments += ["--case", "virgin", "--case", "identical"]
    assert main([*arguments, "--model"]) == 0
    text = capsys.readouterr().out
    assert bench.model(["wle5"])["wle5"] in text
    assert "usb.round_trip" in text
    assert text.count("wle5          4  ") == 4
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    shown = [(one["case"], one["way"]) for one in document["results"]]
    assert shown == [(case, way) for case in ("virgin", "identical") for way in ("lorafab", "smart")]
    assert document["results"][0]["ratio"] > 0
    assert document["results"][2]["ratio"] is None
    assert document["model"] == bench.model(["wle5"])
    assert any(one["name"] == "swd.clocks.ok" and one["source"] for one in document["figures"]["wle5"])


def test_the_command_knows_every_case_and_way() -> None:
    """It names them before it loads the emulator; they are those that can be measured."""
    assert bench.CASES == _CASES
    assert (_LINE, *bench.PYOCD_WAYS) == _WAYS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--board", "nosuch"], ["nosuch", "wle5"]),
        (["--board", "wle5", "--size", "0"], ["0 bytes", "258048"]),
        (["--board", "wle5", "--size", "300000"], ["300000 bytes", "258048"]),
        (["--board", "wle5", "--size", "-1"], ["-1 bytes", "258048"]),
        (["--board", "wle5", "--khz", "0"], ["0 kHz", "1 to 100000"]),
        (["--board", "wle5", "--khz", "4000", "--khz", "100001"], ["100001 kHz", "1 to 100000"]),
    ],
)
def test_wrong_requests_are_usage_errors(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, status 4, and nothing is flashed."""
    assert main(["bench", "flash", *arguments]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert all(word in said.err for word in words)


def test_figures_of_an_image_that_did_not_arrive_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the flash otherwise ends with status 1 and a sentence, and no table."""
    honest = bench.measure
    monkeypatch.setattr(bench, "measure", lambda *arguments: dataclasses.replace(honest(*arguments), verified=False))
    arguments = ["--board", "wle5", "--size", "64", "--case", "virgin", "--way", "lorafab"]
    assert main(["bench", "flash", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "what is in the flash of wle5 (virgin, lorafab, 4000 kHz) is not the image" in said.err
