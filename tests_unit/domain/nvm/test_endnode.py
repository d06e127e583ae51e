"""lorafab.domain.nvm.endnode: the newest acknowledged counters are found, whatever a power cut left beside them."""

import zlib
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorafab.domain.nvm.endnode import FRESH, RECORD_SIZE, WORD_SIZE, Counters, NvmReading, decode, encode

PAGE = 2048
SLOTS = PAGE // RECORD_SIZE
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
some_counters = st.builds(Counters, dev_nonce=U16, join_nonce=U32, fcnt_up=U32, fcnt_down=U32, sequence=U32)
KNOWN = Counters(dev_nonce=0x1234, join_nonce=0x01020304, fcnt_up=0x05060708, fcnt_down=0x0A0B0C0D, sequence=9)


def region(*slots: bytes, size: int = 2 * PAGE) -> bytes:
    """These slots, and erased flash behind them."""
    return b"".join(slots).ljust(size, b"\xff")


# --- the codec ---


def test_the_layout_is_the_headers() -> None:
    """Byte by byte, as firmware/include/lorafab_nvm.h has it."""
    body = bytes.fromhex("4C464E56 09000000 3412 0000 04030201 08070605 0D0C0B0A 00000000")
    assert encode(KNOWN) == body + zlib.crc32(body).to_bytes(4, "little")


@given(some_counters)
def test_what_was_encoded_is_decoded(counters: Counters) -> None:
    """All values of all fields."""
    reading = decode(region(encode(counters)))
    assert reading.counters == counters
    assert (reading.valid_records, reading.torn_records, reading.bad_records) == (1, 0, 0)
    assert not reading.fresh


@given(st.lists(some_counters, min_size=1, max_size=2 * SLOTS, unique_by=lambda one: one.sequence))
def test_the_newest_counts_wherever_it_lies(records: list[Counters]) -> None:
    """By sequence, and not by place."""
    reading = decode(region(*map(encode, records)))
    assert reading.counters == max(records, key=lambda one: one.sequence)
    assert reading.valid_records == len(records)


@given(some_counters, st.integers(0, RECORD_SIZE * 8 - 1))
def test_a_record_with_one_wrong_bit_is_none(counters: Counters, bit: int) -> None:
    """It counts neither as newest nor as erased; an older whole one does."""
    older = replace(counters, sequence=0)
    damaged = bytearray(encode(replace(counters, sequence=max(1, counters.sequence))))
    damaged[bit // 8] ^= 1 << bit % 8
    reading = decode(region(encode(older), bytes(damaged)))
    assert reading.counters == older
    assert reading.valid_records == 1
    assert reading.torn_records + reading.bad_records == 1


@pytest.mark.parametrize("offset", [10, 24])
def test_reserved_fields_must_be_zero(offset: int) -> None:
    """A later layout that uses them is not half understood."""
    body = bytearray(encode(KNOWN)[:-4])
    body[offset] = 1
    record = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
    assert decode(region(record)).bad_records == 1


# --- blank, torn, lost ---


def test_an_erased_region_is_fresh() -> None:
    """DevNonce 0, and nothing received yet."""
    reading = decode(region())
    assert reading.fresh
    assert reading.counters == FRESH == Counters(0, 0, 0, 0xFFFFFFFF, 0)


def test_complete_records_of_which_none_can_be_read_are_lost_counters() -> None:
    """That is not fresh: the DevNonce is unknown."""
    reading = decode(region(b"\x00" * RECORD_SIZE))
    assert (reading.counters, reading.bad_records, reading.fresh) == (None, 1, False)


def test_a_torn_first_write_is_as_fresh_as_before() -> None:
    """No counter was in use before it was stored, so none is lost."""
    reading = decode(region(encode(KNOWN)[:16]), torn_words={16})
    assert (reading.counters, reading.torn_records, reading.fresh) == (FRESH, 1, False)


@pytest.mark.parametrize("word", [0, 8, 16, 24])
def test_a_record_with_an_unreadable_word_is_not_believed(word: int) -> None:
    """Whatever the bus gave in its place, even if it fits."""
    reading = decode(region(encode(replace(KNOWN, sequence=1)), encode(KNOWN)), torn_words={32 + word})
    assert reading.counters == replace(KNOWN, sequence=1)
    assert (reading.torn_records, reading.bad_records) == ((1, 0) if word == 24 else (0, 1))


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_write_cut_between_two_words_is_torn(written: int) -> None:
    """The last double word is still erased: the write did not come to its end."""
    reading = decode(region(encode(KNOWN), encode(replace(KNOWN, sequence=10))[: written * WORD_SIZE]))
    assert reading.counters == KNOWN
    assert (reading.torn_records, reading.bad_records) == (int(written > 0), 0)


# --- memories that are programmed by 4 bytes and do not tell of a word that was only partly programmed ---

WORDS = [pytest.param(0x00, id="STM32L0"), pytest.param(0xFF, id="nRF52")]


def by_words(*slots: bytes, erased: int) -> NvmReading:
    """These slots, and erased memory behind them, read as such a memory is."""
    return decode(b"".join(slots).ljust(8 * RECORD_SIZE, bytes([erased])), word_size=4, erased=erased)


@pytest.mark.parametrize("erased", WORDS)
def test_zero_is_as_fresh_as_ff_where_the_memory_erases_to_it(erased: int) -> None:
    """An erased region is DevNonce 0, and what another memory calls erased is a damaged record."""
    assert by_words(erased=erased).fresh
    reading = by_words(bytes([erased ^ 0xFF]) * RECORD_SIZE, erased=erased)
    assert (reading.counters, reading.bad_records) == (None, 1)


@pytest.mark.parametrize("erased", WORDS)
@given(counters=some_counters, words=st.integers(0, 7), mask=U32)
def test_a_write_cut_in_any_word_is_torn(erased: int, counters: Counters, words: int, mask: int) -> None:
    """The first record of a board is cut between two words, or in a word whose bits have changed in part: no loss.

    ``mask``: the bits of the word that had changed when the power failed.
    """
    record, blank = encode(counters), int.from_bytes(bytes([erased]) * 4, "little")
    place = slice(4 * words, 4 * words + 4)
    wanted = int.from_bytes(record[place], "little")
    half = (blank ^ ((blank ^ wanted) & mask)).to_bytes(4, "little")
    reading = by_words(record[: place.start] + half, erased=erased)
    if reading.valid_records:
        assert record[: place.start] + half == record[: place.stop] == record
        assert reading.counters == counters
    else:
        assert (reading.counters, reading.bad_records) == (FRESH, 0)


@pytest.mark.parametrize("erased", WORDS)
def test_a_crc_with_a_bit_that_no_write_gives_is_no_torn_one(erased: int) -> None:
    """A complete record that went bad is not taken for one that was never acknowledged."""
    record = bytearray(encode(KNOWN))
    wanted = int.from_bytes(record[-4:], "little")
    bit = next(bit for bit in range(32) if (wanted >> bit & 1) == (erased & 1))  # one that a write leaves as it is
    record[-4 + bit // 8] ^= 1 << bit % 8
    reading = by_words(bytes(record), erased=erased)
    assert (reading.counters, reading.torn_records, reading.bad_records) == (None, 0, 1)


@given(st.binary(max_size=8 * RECORD_SIZE), st.sets(st.integers(0, 32).map(lambda word: word * WORD_SIZE)))
def test_any_bytes_are_read_without_surprise(data: bytes, torn: set[int]) -> None:
    """Counters are missing exactly where complete records are there and none of them is valid."""
    reading = decode(data, torn)
    assert (reading.counters is None) == (reading.bad_records > 0 and not reading.valid_records)
    slots = reading.valid_records + reading.torn_records + reading.bad_records
    assert slots <= len(data) // RECORD_SIZE


# --- a board's life ---


@dataclass
class Log:
    """The region as the firmware keeps it (firmware/endnode-wle5/src/nvm.c), on flash that may lose its power."""

    flash: bytearray = field(default_factory=lambda: bytearray(region()))
    torn: set[int] = field(default_factory=set)
    acknowledged: Counters = FRESH

    @classmethod
    def after(cls, stores: int) -> "Log":
        """A board that has stored so often (at most twice 64) without a power cut."""
        past = [Counters(number, 0, number, 0, number) for number in range(1, stores + 1)]
        return cls(bytearray(region(*map(encode, past))), set(), past[-1] if past else FRESH)

    def store(self, counters: Counters, cut_at: int | None) -> None:
        """Append; ``cut_at`` is the flash operation during which the power fails, None for none."""
        operations = iter(range(100))
        reading = decode(bytes(self.flash), self.torn)
        assert reading.counters is not None
        newest = self._newest_slot()
        page = 0 if newest is None else newest // SLOTS
        slot = self._first_free(page)
        if slot == SLOTS:
            page, slot = 1 - page, 0
            if next(operations) == cut_at:
                return self._tear_page(page)
            self._erase(page)
        at = (page * SLOTS + slot) * RECORD_SIZE
        data = encode(replace(counters, sequence=reading.counters.sequence + 1))
        for offset in range(0, RECORD_SIZE, WORD_SIZE):
            if next(operations) == cut_at:
                self.torn.add(at + offset)
                return None
            self.flash[at + offset : at + offset + WORD_SIZE] = data[offset : offset + WORD_SIZE]
        self.acknowledged = replace(counters, sequence=reading.counters.sequence + 1)
        return None

    def _newest_slot(self) -> int | None:
        found: dict[int, int] = {}
        for slot in range(2 * SLOTS):
            at = slot * RECORD_SIZE
            torn = {word - at for word in self.torn}
            reading = decode(bytes(self.flash[at : at + RECORD_SIZE]), torn)
            if reading.valid_records and reading.counters:
                found[reading.counters.sequence] = slot
        return found[max(found)] if found else None

    def _first_free(self, page: int) -> int:
        free = SLOTS
        while free:
            at = (page * SLOTS + free - 1) * RECORD_SIZE
            torn = any(at <= word < at + RECORD_SIZE for word in self.torn)
            if torn or self.flash[at : at + RECORD_SIZE] != b"\xff" * RECORD_SIZE:
                break
            free -= 1
        return free

    def _erase(self, page: int) -> None:
        self.flash[page * PAGE : (page + 1) * PAGE] = b"\xff" * PAGE
        self.torn -= set(range(page * PAGE, (page + 1) * PAGE))

    def _tear_page(self, page: int) -> None:
        """An erase that did not end: some bits are erased, every second word cannot be read, the others can."""
        for at in range(page * PAGE, (page + 1) * PAGE):
            self.flash[at] |= 0x55
        self.torn |= set(range(page * PAGE, (page + 1) * PAGE, 2 * WORD_SIZE))


CUTS = st.one_of(st.none(), st.integers(0, 4))


@given(st.integers(0, 2 * SLOTS), st.lists(CUTS, max_size=12))
@example(SLOTS, [0, 0, 0, 1, None])
@example(SLOTS - 1, [3, 0, None, 2])
@example(2 * SLOTS, [0, 4, None])
@example(0, [0, 1, 2, 3])
def test_a_power_cut_anywhere_loses_no_acknowledged_record(before: int, cuts: list[int | None]) -> None:
    """Any number of stores, with the power failing in any word or page erase: the last acknowledged one is read."""
    log = Log.after(before)
    for number, cut in enumerate(cuts, before + 1):
        log.store(Counters(number, 0, number, 0, 0), cut)
        assert decode(bytes(log.flash), log.torn).counters == log.acknowledged
