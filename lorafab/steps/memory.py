"""Reading memory that may have been torn by a power cut."""

from dataclasses import dataclass

from lorafab.domain.memory_map import Span
from lorafab.errors import MemoryFault
from lorafab.interfaces import Programmer


@dataclass(frozen=True)
class Reading:
    """Memory as far as it can be read: ``torn`` words hold 0x00 in ``data`` and are not data."""

    data: bytes
    torn: tuple[Span, ...]


def read_torn(programmer: Programmer, span: Span, word_size: int) -> Reading:
    """Read a span, stepping over words that the bus refuses (ECC): one torn word must not hide the others."""
    data, torn, at = b"", [], span.start
    while at < span.end:
        try:
            data += programmer.read(Span(at, span.end - at))
            break
        except MemoryFault as fault:
            # A block read may report the block instead of the word: walk word by word only where it faulted.
            word = (max(fault.address, at) - span.start) // word_size
            end = min(span.end, span.start + (word + 1) * word_size)
            part, bad = _read_by_words(programmer, Span(at, end - at), word_size)
            data += part
            torn += bad
            at = span.start + len(data)
    return Reading(data, tuple(torn))


def _read_by_words(programmer: Programmer, span: Span, word_size: int) -> tuple[bytes, list[Span]]:
    data, torn = b"", []
    for address in range(span.start, span.end, word_size):
        word = Span(address, min(word_size, span.end - address))
        try:
            data += programmer.read(word)
        except MemoryFault:
            data += bytes(word.size)
            torn.append(word)
    return data, torn
