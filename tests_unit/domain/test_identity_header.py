"""lorafab.domain.identity_header: one board's identity as C, for firmware that has it compiled in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import lot_crc
from lorafab.domain.identity_header import check_template, render
from lorafab.domain.secret import Secret
from lorafab.errors import BuildError

ALL = """
DEV ${dev_eui} {${dev_eui_c}}
JOIN ${join_eui} {${join_eui_c}}
APP {${app_key_c}}
NWK {${nwk_key_c}}
SERIAL "${serial}"
NUMBERS ${region} ${generation} ${lot_crc} ${lorawan_1_1} $$
"""
euis = st.integers(0, (1 << 64) - 1).map(Eui64)
keys = st.binary(min_size=16, max_size=16).map(Secret)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16)


def array(line: str) -> bytes:
    """What a C compiler makes of an initializer."""
    return bytes(int(one, 16) for one in re.findall(r"0x([0-9A-F]{2})", line[line.index("{") :]))


def literal(text: str) -> str:
    """What a C compiler makes of a string literal with octal escapes."""
    assert '"' not in text
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


@given(euis, euis, keys, st.none() | keys, printable, st.integers(1, 255), st.none() | st.integers(0, 9))
def test_a_compiler_reads_what_was_meant(
    dev: Eui64, join: Eui64, app: Secret, nwk: Secret | None, serial: str, generation: int, region: int | None
) -> None:
    """EUIs most significant byte first, keys as they are, any serial inside its quotes."""
    check_template(ALL, "x")
    identity = Identity(serial, dev, join, app, nwk, generation, region, "demo")
    lines = render(ALL, identity).strip().splitlines()
    assert lines[0].split()[1] == str(dev)
    assert (array(lines[0]), array(lines[1])) == (dev.to_bytes(), join.to_bytes())
    assert array(lines[2]) == app.reveal()
    assert array(lines[3]) == (nwk.reveal() if nwk else bytes(16))
    assert literal(lines[4].removeprefix('SERIAL "').removesuffix('"')) == serial
    flag = "true" if nwk else "false"
    number = 255 if region is None else region
    assert lines[5] == f"NUMBERS {number} {generation} {lot_crc('demo')} {flag} $"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (
            "${app_key_c} $ 5",
            r"x.h holds a \$ that begins no placeholder, wanted one of \$\{app_key_c\}, .*; write \$\$",
        ),
        (
            "${app_key_c} ${appkey}",
            r"x.h wants \$\{appkey\}, which does not exist; known placeholders: \$\{app_key_c\}",
        ),
        ("${dev_eui_c}", r"x.h has no \$\{app_key_c\}, so its firmware would have no key; add it"),
        ("", r"x.h has no \$\{app_key_c\}"),
    ],
)
def test_a_template_that_cannot_serve_is_refused(template: str, sentence: str) -> None:
    """Before any board is touched: with what is wrong, and what there is."""
    with pytest.raises(BuildError, match=sentence):
        check_template(template, "x.h")


def test_a_second_key_that_no_board_would_get_stops_the_line() -> None:
    """A template made for LoRaWAN 1.0.x is the station's fault, and not that of the boards of a 1.1 lot."""
    template = "{ ${app_key_c} }"
    key, other = Secret(bytes(range(16))), Secret(bytes(range(1, 17)))
    with pytest.raises(BuildError) as caught:
        render(template, Identity("A", Eui64(1), Eui64(2), key, other, 1, None, "demo"))
    assert str(caught.value) == (
        "the header's template has no ${nwk_key_c}, and boards of a LoRaWAN 1.1 lot have a NwkKey; add it, or correct "
        "the lot's lorawan"
    )
    assert array(render(template, Identity("A", Eui64(1), Eui64(2), key, None, 1, None, "demo"))) == key.reveal()
