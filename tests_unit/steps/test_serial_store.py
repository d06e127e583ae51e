"""lorafab.steps.serial_store: an identity in a modem counts when it is still there after a reset, and not before."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Found
from lorafab.domain.secret import Secret
from lorafab.drivers.image_file import load_image
from lorafab.drivers.serial_link import SerialLink
from lorafab.errors import DutError, ForeignIdentity, LinkSilent, ShellError, StoreRefused
from lorafab.interfaces import ClaimRequest
from lorafab.steps.dialects import DIALECTS
from lorafab.steps.identity import Assignment, Wanted, assign
from lorafab.steps.keys import check_store
from lorafab.steps.modem import Modem
from lorafab.steps.serial_store import SerialStore
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import IMAGE
from tests_unit.steps.modems import DEFAULT_KEY, KINDS, FakeModem, Values, colons, patch_link

DEV, JOIN = Eui64(0x024C464200100001), Eui64(0x00005EEF10000001)
KEY, NWK = "8CD66A7B3DEA8E3AC2E5FD0F9B11724E", "F0E1D2C3B4A5968778695A4B3C2D1E0F"
READABLE = ("lorafab", "st-at-slave", "rui3", "abz")
ASSERTED = ("lora-e5", "rn2483")


def identity(key: str = KEY, nwk: str | None = None, **other: object) -> Identity:
    """What the boards of these tests are given."""
    made = Identity("LA00000001", DEV, JOIN, Secret(bytes.fromhex(key)), None, 1, 5, "demo")
    return replace(made, nwk_key=None if nwk is None else Secret(bytes.fromhex(nwk)), **other)  # type: ignore[arg-type]


class Bench:
    """A modem, the real link, the conversation and the store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dialect: str, *, lorawan_1_1: bool = False) -> None:
        self.fake: FakeModem = patch_link(monkeypatch, dialect)
        self.link = SerialLink("/dev/nowhere", 9600)
        modem = Modem(self.link, DIALECTS[dialect], 2.0, lambda: None)
        self.store = SerialStore(modem, self.fake.restart, lorawan_1_1=lorawan_1_1)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """A bench with a modem of some dialect."""
    return lambda dialect, **options: Bench(monkeypatch, dialect, **options)


def assigned(wanted: Identity, ledger: TinyLedger, ask: Callable[..., ClaimRequest]) -> Assignment:
    """As if the run had drawn this identity's key."""
    claim = ledger.claim(replace(ask(), dev_eui=wanted.dev_eui, serial=wanted.serial))
    nwk = wanted.nwk_key.kcv() if wanted.nwk_key else None
    return Assignment(
        wanted.dev_eui, wanted.join_eui, wanted.serial, wanted.generation, wanted.app_key.kcv(), nwk, claim, wanted
    )


# --- the good way ---


@pytest.mark.parametrize("dialect", KINDS)
def test_what_was_written_is_read_back_after_a_reset(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest], dialect: str
) -> None:
    """Evidence is "read back" where the dialect lets the key or its check value be read, and "asserted" elsewhere."""
    made = bench(dialect)
    made.store.write(identity())
    resets = made.fake.resets
    evidence = check_store(made.store, assigned(identity(), ledger, ask))
    assert evidence == ("read back" if dialect in READABLE else "asserted")
    assert made.fake.resets == resets + 1
    held, _ = made.store.read_back()
    assert (held.dev_eui, held.join_eui) == (DEV, JOIN)
    assert held.kcv_app == (identity().app_key.kcv() if dialect in READABLE else None)
    assert made.fake.stored["app_key"] == KEY


@pytest.mark.parametrize("dialect", ["lorafab", "st-at-slave", "abz"])
def test_both_keys_of_a_1_1_board_are_read_back(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest], dialect: str
) -> None:
    """Each from its own slot."""
    made = bench(dialect, lorawan_1_1=True)
    both = identity(nwk=NWK)
    made.store.write(both)
    assert check_store(made.store, assigned(both, ledger, ask)) == "read back"
    held, _ = made.store.read_back()
    assert both.nwk_key is not None
    assert (held.kcv_app, held.kcv_nwk) == (both.app_key.kcv(), both.nwk_key.kcv())


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """For all examples of a property."""
    with pytest.MonkeyPatch.context() as made:
        yield made


@given(
    dialect=st.sampled_from(sorted(KINDS)),
    dev=st.integers(1, 2**64 - 2),
    join=st.integers(1, 2**64 - 2),
    key=st.binary(min_size=16, max_size=16).filter(lambda one: len(set(one)) > 1),
)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_identity_survives_the_way_there_and_back(
    patch: pytest.MonkeyPatch, dialect: str, dev: int, join: int, key: bytes
) -> None:
    """Leading zeros, letters only, digits only."""
    made = Bench(patch, dialect)
    made.store.write(identity(key.hex(), dev_eui=Eui64(dev), join_eui=Eui64(join)))
    held, _ = made.store.read_back()
    assert (held.dev_eui, held.join_eui) == (Eui64(dev), Eui64(join))
    assert held.kcv_app in (None, Secret(key).kcv())
    assert made.fake.stored["app_key"] == key.hex().upper()
    assert key.hex()[:8] not in made.link.transcript().lower().replace(":", "")


def test_the_image_is_the_same_on_every_board(bench: Callable[..., Bench]) -> None:
    """The identity is not in it, and no hardware decides on the DevEUI."""
    image: Image = load_image(IMAGE, named_by="the test")
    store = bench("rui3").store
    segments: tuple[Segment, ...] = tuple(store.in_image(image, identity()))
    assert segments == tuple(image.segments)
    assert store.factory_eui() is None


# --- what a modem comes with ---


@pytest.mark.parametrize("dialect", ["st-at-slave", "rui3", "lora-e5", "abz"])
def test_a_modem_comes_with_a_number_of_its_maker(bench: Callable[..., Bench], dialect: str) -> None:
    """It is shown as what it is; a key that can be read is known by its check value."""
    found = bench(dialect).store.look()
    assert (found.state, found.factory) == (BlockState.VALID, True)
    assert found.held is not None
    assert found.held.dev_eui == Eui64(0x0080E11505060708)
    key = KINDS[dialect].factory["app_key"]
    assert found.held.kcv_app == (Secret(bytes.fromhex(key)).kcv() if dialect in READABLE else None)
    assert all(one.same_as(Secret(bytes.fromhex(key))) for one in found.keys)


@pytest.mark.parametrize("dialect", ["lorafab", "rn2483"])
def test_a_modem_that_has_no_number_yet_is_blank(bench: Callable[..., Bench], dialect: str) -> None:
    """Zeros are no DevEUI, and our own firmware says that its page is blank."""
    assert bench(dialect).store.look().state is BlockState.BLANK


def test_a_torn_page_of_our_own_firmware_is_damaged(bench: Callable[..., Bench]) -> None:
    """It says so itself."""
    made = bench("lorafab")
    made.fake.answers = lambda command, lines: ["ERR no identity: bad crc"] if command == "ID?" else lines
    assert made.store.look() == Found(BlockState.DAMAGED)
    with pytest.raises(
        ForeignIdentity, match=r"after a reset the firmware has no identity \(bad crc\), wanted the one"
    ):
        made.store.read_back()


def test_our_own_firmware_says_all_that_the_block_has(bench: Callable[..., Bench]) -> None:
    """So that it is held to everything, and comes from no factory."""
    made = bench("lorafab")
    made.store.write(identity())
    found = made.store.look()
    assert found.held is not None
    assert not found.factory
    assert (found.held.serial, found.held.generation, found.held.region) == ("LA00000001", 1, 5)


# --- lies ---


def refused(made: Bench, ledger: TinyLedger, ask: Callable[..., ClaimRequest]) -> DutError:
    """Write and check as a run does; what refuses the board."""
    made.store.write(identity())
    with pytest.raises(DutError) as caught:
        check_store(made.store, assigned(identity(), ledger, ask))
    assert KEY[:8] not in str(caught.value).upper()
    return caught.value


@pytest.mark.parametrize("dialect", KINDS)
@pytest.mark.parametrize(
    "lie",
    ["nothing is stored", "zeros", "the old values come back", "the end is lost", "the first byte is lost"],
)
def test_a_modem_that_says_ok_and_has_something_else_after_a_reset_is_refused(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest], dialect: str, lie: str
) -> None:
    """AT+CS cannot fail, and RUI3's settings are known to turn to zeros."""
    made = bench(dialect)
    before = dict(made.fake.stored)
    blank: Values = dict.fromkeys(("dev_eui", "join_eui"), "0" * 16) | dict.fromkeys(("app_key", "nwk_key"), "0" * 32)
    lies: dict[str, Callable[[Values], Values]] = {
        "nothing is stored": lambda values: before,
        "zeros": lambda values: values | blank,
        "the old values come back": lambda values: values | {"dev_eui": "0080E11505060708"},
        "the end is lost": lambda values: values | {"dev_eui": values.get("dev_eui", "0" * 16)[:14] + "FF"},
        "the first byte is lost": lambda values: values | {"join_eui": "FF" + values.get("join_eui", "0" * 16)[2:]},
    }
    if dialect != "lorafab" or lie != "nothing is stored":
        made.fake.stored |= {name: value for name, value in blank.items() if name not in made.fake.stored}
    made.fake.keeps = lies[lie]
    error = refused(made, ledger, ask)
    assert isinstance(error, ForeignIdentity)
    if dialect == "lorafab" and lie == "nothing is stored":
        assert "has no identity (blank)" in str(error)
    elif lie == "zeros" and dialect in READABLE:
        assert "the identity on the board has a key of bytes 00 only, wanted the one that it was given" in str(error)
    else:
        assert re.search("the identity on the board (says (Dev|Join)EUI|has LoRaMac|has the key of RUI3)", str(error))


@pytest.mark.parametrize("dialect", READABLE)
def test_a_key_alone_that_did_not_survive_is_refused_where_it_can_be_read(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest], dialect: str
) -> None:
    """Another key, and a default key by its name."""
    for key, sentence in (
        (NWK, "says key check value"),
        (DEFAULT_KEY, "has LoRaMac-node's default key, wanted the one"),
    ):
        made = bench(dialect)
        made.fake.keeps = lambda values, key=key: values | {"app_key": key, "nwk_key": key}  # type: ignore[misc]
        if dialect == "lorafab":
            made.fake.keeps = lambda values, key=key: values | {"app_key": key} if values else values  # type: ignore[misc]
        assert f"the identity on the board {sentence}" in str(refused(made, ledger, ask))


@pytest.mark.parametrize("slot", ["app_key", "nwk_key"])
def test_st_with_another_key_in_one_of_its_two_slots_is_refused(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest], slot: str
) -> None:
    """Which of them a stack joins with depends on its version."""
    made = bench("st-at-slave")
    made.fake.keeps = lambda values: values | {slot: DEFAULT_KEY}
    error = refused(made, ledger, ask)
    assert isinstance(error, StoreRefused)
    assert "two key slots hold different keys after a reset, wanted the AppKey in both" in str(error)


def test_st_with_different_keys_from_the_factory_gets_a_new_one(bench: Callable[..., Bench]) -> None:
    """Nobody's key is in it, as far as the line can know."""
    made = bench("st-at-slave")
    made.fake.stored["app_key"] = KEY
    found = made.store.look()
    assert found.held is not None
    assert found.held.kcv_app is None
    assert len(found.keys) == 2


def test_text_behind_a_number_that_st_takes_for_it_is_found(
    bench: Callable[..., Bench], ledger: TinyLedger, ask: Callable[..., ClaimRequest]
) -> None:
    """%hhx keeps the lowest eight bits of whatever digits stand there, and looks at nothing behind the last one."""
    made = bench("st-at-slave")
    made.fake.takes = lambda name, value: value[:-2] + "42" if name == "dev_eui" else value
    assert "says DevEUI '024C464200100042', wanted '024C464200100001'" in str(refused(made, ledger, ask))


@pytest.mark.parametrize("name", ["dev_eui", "join_eui", "app_key"])
def test_e5_that_repeats_something_else_is_refused_at_once(bench: Callable[..., Bench], name: str) -> None:
    """What it took is shown by its answer, before anything is read; the key is not in the sentence."""
    made = bench("lora-e5")
    sent = {"dev_eui": str(DEV), "join_eui": str(JOIN), "app_key": KEY}[name]
    wrong = "FF" + sent[2:]
    made.fake.answers = lambda command, lines: [
        line.replace(colons(sent), colons(wrong)).replace(sent, wrong) for line in lines
    ]
    with pytest.raises(
        StoreRefused, match=f"repeats another {name} than it was sent, wanted the same; check"
    ) as caught:
        made.store.write(identity())
    assert KEY[2:10] not in str(caught.value)


def test_e5_that_does_not_answer_a_good_key_is_silent(bench: Callable[..., Bench]) -> None:
    """As version 4.0.11 was seen to do; the sentence has the command without the key."""
    made = bench("lora-e5")
    made.fake.answers = lambda command, lines: [] if "KEY" in command else lines
    with pytest.raises(LinkSilent, match=r'no line for 2 s after AT\+KEY=APPKEY,"\{key\}"; check'):
        made.store.write(identity())


@pytest.mark.parametrize(("dialect", "refusal"), [("st-at-slave", "AT_ERROR"), ("abz", "+ERR=-50")])
def test_a_modem_that_keeps_its_key_to_itself_is_only_asserted(
    bench: Callable[..., Bench], dialect: str, refusal: str
) -> None:
    """KEY_EXTRACTABLE 0, and AT$LOCKKEYS: good protection, and no proof."""
    made = bench(dialect)
    made.store.write(identity())
    made.fake.answers = lambda command, lines: [refusal] if re.search("KEY=?\\?$", command) else lines
    held, evidence = made.store.read_back()
    assert (held.dev_eui, held.kcv_app, evidence) == (DEV, None, "asserted")


@pytest.mark.parametrize("dialect", KINDS)
def test_each_command_that_is_refused_stops_the_board(bench: Callable[..., Bench], dialect: str) -> None:
    """One after the other; nothing is written behind it."""
    errors = {"lorafab": "ERR no", "lora-e5": "+ID: ERROR(-1)", "rn2483": "invalid_param", "abz": "+ERR=-3"}
    error = errors.get(dialect, "AT_PARAM_ERROR")
    for number, exchange in enumerate(DIALECTS[dialect].commands(identity())):
        made = bench(dialect)
        made.store.look()
        made.fake.sent.clear()
        bad = exchange.written().decode()
        made.fake.answers = lambda command, lines, bad=bad: [error] if command == bad else lines  # type: ignore[misc]
        with pytest.raises(ShellError, match=re.escape(f"the modem answers {exchange.command} with ")):
            made.store.write(identity())
        assert len(made.fake.sent) == number + 1


@pytest.mark.parametrize("dialect", [name for name, kind in KINDS.items() if kind.event])
def test_events_between_the_lines_change_nothing(bench: Callable[..., Bench], dialect: str) -> None:
    """Before, within and behind every answer."""
    made = bench(dialect)
    event = KINDS[dialect].event
    made.fake.answers = lambda command, lines: [event, *[one for line in lines for one in (line, event)]]
    made.store.write(identity())
    held, _ = made.store.read_back()
    assert held.dev_eui == DEV


@pytest.mark.parametrize("dialect", KINDS)
def test_what_was_said_before_the_reset_is_not_taken_for_its_banner(bench: Callable[..., Bench], dialect: str) -> None:
    """The firmware was running when the line was opened, and had started more than once."""
    made = bench(dialect)
    made.fake.say([*KINDS[dialect].banner, "OK", *KINDS[dialect].banner])
    found = made.store.look()
    assert found.state is (BlockState.BLANK if dialect in ("lorafab", "rn2483") else BlockState.VALID)
    assert made.fake.sent.count(DIALECTS[dialect].awake.command) == 1


# --- keys stay out of what is kept ---


@pytest.mark.parametrize("dialect", KINDS)
@pytest.mark.parametrize("form", ["as it is", "lower case", "spaces", "colons", "quotes", "two lines", "decimal"])
@pytest.mark.parametrize("asked", [True, False], ids=["when it is asked", "when it is set"])
def test_the_transcript_holds_no_key_in_any_form(
    bench: Callable[..., Bench], dialect: str, form: str, asked: bool
) -> None:
    """Neither the one that was written nor one that the run never knew, whatever a modem makes of it."""
    forms: dict[str, Callable[[str], list[str]]] = {
        "as it is": lambda key: [key],
        "lower case": lambda key: [key.lower()],
        "spaces": lambda key: [colons(key).replace(":", " ")],
        "colons": lambda key: [colons(key)],
        "quotes": lambda key: [f'"{key[:8]}" "{key[8:16]}" "{key[16:24]}" "{key[24:]}"'],
        "two lines": lambda key: [f"key {key[:16]}", f"{key[16:]} end"],
        "decimal": lambda key: [", ".join(str(byte) for byte in bytes.fromhex(key))],
    }
    made = bench(dialect)
    unknown = "C0FFEE11C0FFEE22C0FFEE33C0FFEE44"
    made.fake.answers = lambda command, lines: (
        [*forms[form](KEY), *forms[form](unknown), *lines]
        if "KEY" in command.upper() and command.endswith("?") == asked
        else lines
    )
    sentence = ""
    try:
        made.store.look()
        made.store.write(identity())
        made.store.read_back()
    except DutError as error:  # a run stops there
        sentence = str(error)
    assert not leaks(sentence, KEY, unknown)
    assert not leaks(made.link.transcript(), KEY, unknown, DEFAULT_KEY)
    assert any("KEY" in command.upper() for command in made.fake.sent)
    assert sentence or asked


def leaks(text: str, *keys: str) -> list[str]:
    """Pieces of four bytes of a key in a text, however they are written."""
    digits = re.sub("[^0-9A-F]", "", re.sub(r"hex digits withheld|kcv_\w+=\w+", "", text).upper())
    numbers = re.findall(r"\d+", text)
    found = []
    for key in keys:
        data = bytes.fromhex(key)
        for at in range(13):
            piece = data[at : at + 4]
            row = [str(byte) for byte in piece]
            if piece.hex().upper() in digits or any(numbers[i : i + 4] == row for i in range(len(numbers))):
                found.append(f"{key[:2]}.. at {at}")
    return found


# --- in a run ---


@pytest.fixture
def wanted() -> Wanted:
    return Wanted(JOIN, 5, "demo")


def test_a_factory_number_is_overwritten_without_a_permit(
    bench: Callable[..., Bench], ledger: TinyLedger, vault: Vault, wanted: Wanted, ask: Callable[..., ClaimRequest]
) -> None:
    """Every modem has one; the default key that came with it is told."""
    given = assign(bench("st-at-slave").store.look(), ask(), wanted, ledger, vault, permit=False)
    assert given.to_write is not None
    assert given.findings == (
        "the board came with LoRaMac-node's default key, which is no secret; this run gives it its own key",
    )


def test_a_modem_with_a_number_of_another_board_is_refused(
    bench: Callable[..., Bench], ledger: TinyLedger, vault: Vault, wanted: Wanted, ask: Callable[..., ClaimRequest]
) -> None:
    """Of this ledger's: then it is no factory's."""
    ledger.claim(ask(2, chip_id="4C46564200000000000000AA"))
    for chip in ("4C46564200000000000000BB", "4C46564200000000000000CC"):
        made = bench("rn2483")
        made.fake.stored["dev_eui"] = str(ask(2).dev_eui)
        with pytest.raises(
            ForeignIdentity, match=f"holds {ask(2).dev_eui}, which is not what this ledger has for chip"
        ):
            assign(made.store.look(), ask(1, chip_id=chip), wanted, ledger, vault, permit=False)


def test_a_modem_with_a_key_of_another_board_is_refused(
    bench: Callable[..., Bench], ledger: TinyLedger, vault: Vault, wanted: Wanted, ask: Callable[..., ClaimRequest]
) -> None:
    """Its flash was copied."""
    first = bench("rui3")
    given = assign(first.store.look(), ask(1), wanted, ledger, vault, permit=False)
    assert given.to_write is not None
    first.store.write(given.to_write)
    copy = bench("rui3")
    copy.fake.stored = dict(first.fake.stored) | {"dev_eui": "AC1F09FFFE000001"}
    with pytest.raises(ForeignIdentity, match="which is not what this ledger has"):
        assign(copy.store.look(), ask(2, chip_id="4C46564200000000000000AA"), wanted, ledger, vault, permit=False)


@pytest.mark.parametrize("dialect", KINDS)
def test_a_board_that_comes_back_keeps_a_key_that_can_be_read(
    bench: Callable[..., Bench],
    ledger: TinyLedger,
    vault: Vault,
    wanted: Wanted,
    ask: Callable[..., ClaimRequest],
    dialect: str,
) -> None:
    """One that nobody can read is no proof of anything: the board gets the next generation."""
    made = bench(dialect)
    first = assign(made.store.look(), ask(), wanted, ledger, vault, permit=False)
    assert first.to_write is not None
    made.store.write(first.to_write)
    check_store(made.store, first)
    ledger.mark_written(first.dev_eui, 1, "run-1")
    again = assign(made.store.look(), ask(run="run-2"), wanted, ledger, vault, permit=False)
    assert (again.to_write is None, again.generation) == ((True, 1) if dialect in READABLE else (False, 2))
