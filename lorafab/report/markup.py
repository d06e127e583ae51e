"""Text from a record becomes HTML here, and nowhere else: escaped, and with nothing invisible in it.

A serial line may send terminal escapes, NUL bytes or marks that turn the reading direction round. They are
shown as ``\\x1b`` or ``\\u202e``, so that what QA reads is what was there.
"""

import itertools
import math
from html import escape

NOT_KNOWN = "—"


def visible(text: str) -> str:
    """Replace every character that does not print (controls, direction marks, surrogates) by its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape_code(c) for c in text)


def html_text(text: str | None) -> str:
    """Escape ``text`` for the inside of an element (not of an attribute); None is an em dash.

    Escapes of characters that do not print are set in a ``span.esc``, which tells them from the same letters typed.
    """
    if text is None:
        return NOT_KNOWN
    if text.isprintable():
        return escape(text)
    return "".join(
        escape("".join(run)) if printable else f'<span class="esc">{"".join(map(_escape_code, run))}</span>'
        for printable, run in itertools.groupby(text, str.isprintable)
    )


def mono(text: str | None) -> str:
    """Like :func:`html_text`, in a fixed-width face: identifiers, hashes, file names."""
    return NOT_KNOWN if text is None else f"<code>{html_text(text)}</code>"


def definition_list(rows: list[tuple[str, str]]) -> str:
    """Set (name, ready HTML) rows as a list of terms."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def plural(count: int, noun: str) -> str:
    """Write ``1 step``, ``2 steps``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def exact_number(value: float) -> str:
    """Write a number with all of its digits and no idle ``.0``: limits stay as they were typed."""
    text = str(value)
    return text.removesuffix(".0")


def short_number(value: float) -> str:
    """Write a number with six significant digits, and never fewer than all digits before the point."""
    if isinstance(value, int) or not 1e5 <= abs(value) < 1e15:
        return str(value) if isinstance(value, int) else f"{value:.6g}"
    return exact_number(round(value, 1))


def seconds(value: float) -> str:
    """Write a duration given in seconds; an em dash when it is negative or not finite."""
    if not math.isfinite(value) or value < 0:
        return NOT_KNOWN
    if value < 120:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def _escape_code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
