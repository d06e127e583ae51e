"""lorafab/virtual/bench.py and `lorafab bench flash`: figures that repeat, beside the floor of the data sheet."""

import dataclasses
import json

import pytest

from lorafab.cli import main
from lorafab.virtual import bench, chips

SIZE = 4096


@pytest.mark.parametrize("name", chips.names())
@pytest.mark.parametrize("erase", bench.WAYS)
def test_an_image_arrives_in_more_than_the_floor(name: str, erase: str) -> None:
    """It is read back; every page and unit is erased and programmed; nothing is faster than the silicon."""
    times = chips.named(name).flash_times
    result = bench.flash(name, 10_000, erase, bench.random_image(SIZE))
    assert result.verified
    assert result.words >= SIZE // times.unit
    assert result.simulated_ms > result.floor_ms
    if erase == "sector":
        assert result.erases * times.page >= SIZE


def test_the_same_run_gives_the_same_figures() -> None:
    """Simulated time does not know the computer's speed."""
    image = bench.random_image(SIZE)
    assert bench.flash("wle5", 4000, "sector", image) == bench.flash("wle5", 4000, "sector", image)


def test_a_faster_wire_is_faster_and_the_floor_stays() -> None:
    """Only the wire's part of the time changes."""
    image = bench.random_image(SIZE)
    slow, fast = (bench.flash("wle5", khz, "chip", image) for khz in (1000, 10_000))
    assert fast.simulated_ms < slow.simulated_ms
    assert fast.floor_ms == slow.floor_ms == (22_130_000 + 512 * 81_690) / 1e6


def test_the_command_prints_a_table_and_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """For people a line a result, with the digest; for programs one JSON document."""
    arguments = ["bench", "flash", "--board", "wle5", "--khz", "4000", "--size", str(SIZE)]
    assert main([*arguments, "--model"]) == 0
    text = capsys.readouterr().out
    assert bench.model(["wle5"])["wle5"] in text
    assert "usb.round_trip" in text
    assert text.count("wle5          4  ") == 2
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["erase"] for one in document["results"]] == ["sector", "chip"]
    assert document["model"] == bench.model(["wle5"])
    assert any(one["name"] == "swd.clocks.ok" and one["source"] for one in document["figures"]["wle5"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--board", "nosuch"], ["nosuch", "wle5"]),
        (["--board", "wle5", "--size", "0"], ["0 bytes", "262144"]),
        (["--board", "wle5", "--size", "300000"], ["300000 bytes", "262144"]),
        (["--board", "wle5", "--size", "-1"], ["-1 bytes", "262144"]),
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
    """What reads back otherwise ends with status 1 and a sentence, and no table."""
    honest = bench.flash
    monkeypatch.setattr(bench, "flash", lambda *arguments: dataclasses.replace(honest(*arguments), verified=False))
    assert main(["bench", "flash", "--board", "wle5", "--khz", "4000", "--size", "64"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "what was read back from wle5 (4000 kHz, sector erase) is not the image" in said.err
