"""lorafab.run.redaction: whoever logs a key, nobody reads it."""

import base64
import io
import logging
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.secret import Secret, living_secrets
from lorafab.run.redaction import guard_logging, holds_key

KEY = bytes.fromhex("8cd66a7b3dea8e3ac2e5fd0f9b11724e")
WORDS = struct.unpack("<4I", KEY)

SHAPES: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "upper-case hex": lambda data: data.hex().upper(),
    "hex with colons": lambda data: data.hex(":"),
    "hex dump": lambda data: " ".join(f"{byte:02X}" for byte in data),
    "escaped": lambda data: "".join(f"\\x{byte:02x}" for byte in data),
    "hex list": lambda data: str([hex(byte) for byte in data]),
    "decimal list": lambda data: str(list(data)),
    "decimal words": lambda data: str([word for (word,) in struct.iter_unpack("<I", data)]),
    "big-endian words": lambda data: str([word for (word,) in struct.iter_unpack(">I", data)]),
    "hex words": lambda data: " ".join(hex(word) for (word,) in struct.iter_unpack("<I", data)),
    "reversed hex": lambda data: data[::-1].hex(),
    "repr": repr,
    "repr of a bytearray": lambda data: repr(bytearray(data)),
    "raw": lambda data: data.decode("latin-1"),
}
BASE64 = {
    "base64": base64.b64encode,
    "urlsafe base64": base64.urlsafe_b64encode,
}


@pytest.fixture
def secret() -> Secret:
    return Secret(KEY)


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of some library, behind the wall, and what its handler wrote."""
    before = logging.getLogRecordFactory()
    logger, text = logging.getLogger("some.library"), io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    guard_logging()
    yield logger, text
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("span", [slice(0, 16), slice(0, 8), slice(4, 12), slice(8, 16)], ids=str)
def test_a_key_and_its_halves_are_found_in_every_shape(secret: Secret, shape: str, span: slice) -> None:
    """Alone and in the middle of a sentence with other numbers."""
    text = SHAPES[shape](KEY[span])
    assert holds_key(text, [secret])
    assert holds_key(f"write 3 words at 0x20000400: {text} (17 more)", [secret])


@pytest.mark.parametrize("shape", BASE64)
@pytest.mark.parametrize("before", [b"", b"x", b"xy"])
def test_base64_is_found_at_each_of_its_three_positions(secret: Secret, shape: str, before: bytes) -> None:
    """The key may stand anywhere in what was encoded."""
    assert holds_key(BASE64[shape](before + KEY + b"more").decode(), [secret])


@pytest.mark.parametrize("word", WORDS)
def test_one_word_alone_is_found(secret: Secret, word: int) -> None:
    """A debug port writes word by word, a record each."""
    assert holds_key(f"trace: write_ap(addr=0x0000000c, data={word:#010x})", [secret])
    assert holds_key(f"wrote {word}", [secret])


@given(st.binary(min_size=16, max_size=16), st.sampled_from(sorted(SHAPES)), st.integers(0, 3))
@settings(deadline=None, max_examples=200, database=None)
def test_any_key_is_found_in_any_shape(key: bytes, shape: str, at: int) -> None:
    """Words in one list, wherever the key stands in the block; keys that look like blank memory excepted."""
    found = holds_key(SHAPES[shape](b"LFID" * at + key + bytes(8)), [Secret(key)])
    assert found or len(set(key)) == 1


@given(st.binary(min_size=16, max_size=16), st.text(max_size=200))
@settings(deadline=None, max_examples=200, database=None)
def test_other_text_stays(key: bytes, text: str) -> None:
    """What holds no piece of the key is no reason to hide anything; nothing is too odd to be searched."""
    if len(set(key)) > 8:
        assert not holds_key(f"flash erase took 0.123 s, 3 of 128 pages at 0x08000000 {text}", [Secret(key)])


def test_check_values_may_be_logged(secret: Secret) -> None:
    """They are what stands for a key."""
    assert not holds_key(f"{secret.kcv()} {secret!r}", [secret])


def test_blank_memory_is_no_key() -> None:
    """Or every record with zeros would be withheld."""
    assert not holds_key("00000000 0, 0, 0, 0, 0, 0, 0, 0", [Secret(bytes(16))])


@pytest.mark.parametrize("key", ["2B7E151628AED2A6ABF7158809CF4F3C", "AC1F09FFFE1302CEAC1F09FFF9153172"])
def test_a_published_default_is_no_secret(key: str) -> None:
    """RUI3's example key consists of two EUIs of its maker, and every such EUI would be withheld."""
    assert not holds_key(f"AT+DEVEUI={key[:16]}", [Secret(bytes.fromhex(key))])


def test_a_record_with_a_key_keeps_its_place_and_loses_its_text(
    secret: Secret, log: tuple[logging.Logger, io.StringIO]
) -> None:
    """pyOCD's words as decimal numbers; the record after it is whole."""
    logger, text = log
    logger.debug("write_memory_block32(%#x, %s)", 0x20000400, list(WORDS))
    logger.debug("done, %d words", 4)
    first, second = text.getvalue().splitlines()
    assert first.startswith("some.library DEBUG (a text of ")
    assert first.endswith("characters is withheld: it may hold a key)")
    assert second == "some.library DEBUG done, 4 words"
    assert not any(str(word) in text.getvalue() for word in WORDS)
    assert secret.reveal() == KEY


def test_an_exception_that_quotes_a_key_is_not_shown(secret: Secret, log: tuple[logging.Logger, io.StringIO]) -> None:
    """Neither is the one behind it."""
    logger, text = log
    try:
        try:
            raise ValueError(f"bad data {list(KEY)}")
        except ValueError as error:
            raise RuntimeError("flash failed") from error
    except RuntimeError:
        logger.exception("no luck")
    assert "withheld" in text.getvalue()
    assert str(KEY[0]) + ", " not in text.getvalue()
    assert secret.reveal() == KEY


def test_an_exception_without_a_key_is_shown(secret: Secret, log: tuple[logging.Logger, io.StringIO]) -> None:
    """With its traceback, as without the wall."""
    logger, text = log
    try:
        raise ValueError("the probe is gone")
    except ValueError:
        logger.exception("no luck")
    assert "Traceback" in text.getvalue()
    assert "ValueError: the probe is gone" in text.getvalue()


def test_a_stack_is_searched_as_well(secret: Secret, log: tuple[logging.Logger, io.StringIO]) -> None:
    """It quotes source lines."""
    logger, text = log
    logger.debug("who calls?", stack_info=True)  # 8cd66a7b3dea8e3a
    assert "withheld" in text.getvalue()
    assert "8cd66a7b" not in text.getvalue()
    assert secret.reveal() == KEY


def test_a_message_that_cannot_be_formatted_does_not_print_its_arguments(
    secret: Secret, log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    """logging would print them to stderr."""
    logger, text = log
    logger.debug("%d bytes", KEY.hex())
    assert "withheld" in text.getvalue()
    assert KEY.hex() not in text.getvalue() + capsys.readouterr().err
    assert secret.reveal() == KEY


def test_a_key_that_is_gone_is_not_looked_for(log: tuple[logging.Logger, io.StringIO]) -> None:
    """The wall keeps no key alive."""
    logger, text = log
    gone = Secret(bytes(range(0x40, 0x50)))
    logger.debug("4041424344454647")
    before = len(living_secrets())
    del gone
    assert len(living_secrets()) == before - 1
    logger.debug("4041424344454647")
    first, second = text.getvalue().splitlines()
    assert "withheld" in first
    assert second.endswith("4041424344454647")


def test_the_wall_is_built_once(log: tuple[logging.Logger, io.StringIO]) -> None:
    """A second session in one process does not put a wall before the wall."""
    made = logging.getLogRecordFactory()
    guard_logging()
    assert logging.getLogRecordFactory() is made


def test_a_key_with_blank_bytes_hides_no_zero() -> None:
    """Four bytes 00 in a key are no reason to withhold every text that has a number 0."""
    key = Secret(bytes(12) + bytes.fromhex("A1B2C3D4"))
    assert not holds_key("0 of 3 boards, 0x00000000, [0, 0, 0, 0]", [key])
    assert holds_key("a1b2c3d4", [key])
