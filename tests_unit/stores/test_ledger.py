"""The ledger's promises, on every driver: one identity, one label, one chip, and nothing is forgotten."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.errors import BoundElsewhere, ForeignIdentity, LedgerError, LorafabError, NvmDamaged
from lorafab.interfaces import Claim, ClaimRequest, Generation, Ledger, SealedBox, SealedKey
from lorafab.stores import claims
from lorafab.stores.claims import BoxDocument, ClaimDocument
from lorafab.stores.history import Entry
from lorafab.stores.ledger import BaseLedger
from tests_unit.stores.conftest import DEV_EUI, Home, request_for, sealed

Ask = Callable[..., ClaimRequest]
Key = Callable[..., SealedKey]


def to_passed(ledger: BaseLedger, request: ClaimRequest, *keys: SealedKey) -> Claim:
    """One board through the line, with a new generation of these keys."""
    eui, run = request.dev_eui, request.run
    generation = len(ledger.claim(request).generations) + 1
    ledger.add_key(eui, generation, keys, run)
    ledger.mark_writing(eui, run)
    ledger.mark_written(eui, generation, run)
    return ledger.mark_passed(eui, generation, run)


def document(ledger: BaseLedger, dev_eui: Eui64) -> ClaimDocument:
    """An identity as it is kept."""
    return next(found for found in ledger.documents() if found.dev_eui == str(dev_eui))


def decide(ledger: BaseLedger, request: ClaimRequest, state: Any) -> Claim:
    """What a person decides about a board."""
    return ledger.move(request.dev_eui, state, reason="why", operator="Eve")


def export(ledger: BaseLedger, request: ClaimRequest, generation: int) -> Claim:
    """Give a generation to the customer."""
    return ledger.mark_exported(request.dev_eui, generation, reason="order 4711", operator="Eve")


def newest(ledger: BaseLedger) -> Entry:
    """The last entry of the history."""
    entries = [entry for entry in ledger.entries() if isinstance(entry, Entry)]
    return entries[-1]


def test_it_is_a_ledger(ledger: BaseLedger) -> None:
    """The line sees nothing but the interface."""
    interface: Ledger = ledger
    assert interface.head() == ledger.head()


# Making and opening


def test_a_missing_ledger_is_not_created_silently(home: Home) -> None:
    """The sentence says how to start one, and nothing is made."""
    for read_only in (False, True):
        with pytest.raises(LedgerError, match=r"`lorafab ledger init"):
            home.open(read_only)
    assert home.create().is_empty


def test_a_second_ledger_in_one_place_is_refused(home: Home) -> None:
    """The first one stays, with its id and what it holds."""
    first = home.create()
    first.claim(request_for(1))
    with pytest.raises(LedgerError, match="already holds a ledger"):
        home.create()
    assert home.open().ledger_id == first.ledger_id
    assert home.open().is_used(request_for(1).dev_eui)


def test_every_ledger_has_its_own_id_and_chain(home: Home) -> None:
    """Two empty ledgers differ in id and in head."""
    one, two = home.create(), home.other().create()
    assert one.ledger_id != two.ledger_id
    assert one.head() != two.head()
    assert len(one.head()) == 64
    assert one.is_empty
    one.claim(request_for(1))
    assert not one.is_empty
    assert two.is_empty


def test_a_reader_changes_nothing(home: Home, ask: Ask) -> None:
    """Read-only: every question works, every change is refused."""
    home.create().claim(ask(1))
    reader = home.open(read_only=True)
    assert reader.is_used(ask(1).dev_eui)
    assert reader.check() == []
    with pytest.raises(LedgerError, match="reading only"):
        reader.claim(ask(2))
    assert not home.open().is_used(ask(2).dev_eui)


def test_a_ledger_may_be_closed_twice(home: Home) -> None:
    """And opened again."""
    ledger = home.create()
    ledger.close()
    ledger.close()
    assert home.open().is_empty


# Claims


def test_a_claim_is_there_for_the_next_process(home: Home, ledger: BaseLedger, ask: Ask) -> None:
    """By DevEUI, label, serial and chip id."""
    claim = ledger.claim(ask(1))
    assert claim == Claim(ask(1).dev_eui, "reserved", (), 0, None, 1, None, None)
    again = home.open()
    for name in (str(ask(1).dev_eui), str(ask(1).dev_eui).lower(), ask(1).label, ask(1).serial, ask(1).chip_id):
        found = again.find(name)
        assert found is not None
        assert found["dev_eui"] == str(ask(1).dev_eui)
        assert (found["first_run"], found["run"], found["station"], found["operator"]) == ("r1", "r1", "A", "Eve")
    assert again.find("no such thing") is None
    assert not again.is_used(ask(2).dev_eui)


def test_claims_of_one_lot_can_be_asked_for(ledger: BaseLedger, ask: Ask) -> None:
    """And all of them."""
    ledger.claim(ask(1))
    ledger.claim(ask(2, lot="other"))
    assert [found["dev_eui"] for found in ledger.all_claims("other")] == [str(ask(2).dev_eui)]
    assert {found["lot"] for found in ledger.all_claims()} == {"demo", "other"}
    assert list(ledger.documents("nosuch")) == []


def test_one_run_is_one_attempt(ledger: BaseLedger, ask: Ask) -> None:
    """A claim repeated by its run changes nothing, not even the history."""
    ledger.claim(ask(1))
    head = ledger.head()
    assert ledger.claim(ask(1)).attempts == 1
    assert ledger.head() == head


def test_the_same_label_on_another_chip_is_refused(ledger: BaseLedger, ask: Ask) -> None:
    """The sentence names DevEUI, earlier chip, earlier run and the way out."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere) as caught:
        ledger.claim(ask(1, run="r2", chip_id="DEAD"))
    for part in (str(ask(1).dev_eui), ask(1).chip_id, "run r1", "chip DEAD", "`lorafab ledger rebind`"):
        assert part in str(caught.value)


def test_another_label_on_the_same_chip_is_refused(ledger: BaseLedger, ask: Ask) -> None:
    """The sentence names the earlier DevEUI, label and run; the second identity stays free."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere) as caught:
        ledger.claim(ask(2, run="r2", chip_id=ask(1).chip_id))
    for part in (str(ask(1).dev_eui), ask(1).label, "run r1", str(ask(2).dev_eui), "`lorafab ledger rebind`"):
        assert part in str(caught.value)
    assert not ledger.is_used(ask(2).dev_eui)


@pytest.mark.parametrize("field", ["label", "serial"])
def test_label_and_serial_belong_to_one_identity(ledger: BaseLedger, ask: Ask, field: str) -> None:
    """Also where the DevEUI does not come from the label."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere, match=f"{field} .* belongs to DevEUI {ask(1).dev_eui}.* since run r1"):
        ledger.claim(ask(2, run="r2", **{field: getattr(ask(1), field)}))


def test_one_deveui_under_two_labels_is_refused(ledger: BaseLedger, ask: Ask) -> None:
    """Another label text with the DevEUI of a claimed board."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere, match="carries label"):
        ledger.claim(ask(1, run="r2", label="another"))


def test_a_serial_is_unique_within_its_lot(ledger: BaseLedger, ask: Ask) -> None:
    """Two lots may both count from 1; such a serial alone finds neither. No serial at all collides with nothing."""
    ledger.claim(ask(1, serial="1"))
    ledger.claim(ask(2, serial="1", lot="other"))
    ledger.claim(ask(3, serial=""))
    ledger.claim(ask(4, serial=""))
    with pytest.raises(LedgerError, match=r"several boards.*ask by DevEUI"):
        ledger.find("1")
    assert ledger.find("") is None
    assert (ledger.has_serial("1", "other"), ledger.has_serial("1", "third")) == (True, False)
    assert ledger.check() == []


@pytest.mark.parametrize("other", [{"lot": "other"}, {"serial": "S2"}, {"join_eui": Eui64(7)}])
def test_rework_under_another_order_is_a_fault_of_the_station(
    ledger: BaseLedger, ask: Ask, other: dict[str, Any]
) -> None:
    """The board may be good."""
    ledger.claim(ask(1))
    with pytest.raises(LedgerError, match=r"in run r1, but this station says .*correct the station's lot"):
        ledger.claim(ask(1, run="r2", **other))
    assert document(ledger, ask(1).dev_eui).attempts == 1


@pytest.mark.parametrize("field", ["label", "chip_id", "lot", "run"])
def test_a_claim_that_would_bind_nothing_is_refused(ledger: BaseLedger, ask: Ask, field: str) -> None:
    """Label, chip, lot and run are what a claim is made of."""
    with pytest.raises(LedgerError, match=f"has no {field}"):
        ledger.claim(ask(1, **{field: ""}))
    assert ledger.is_empty


@pytest.mark.parametrize("value", [0, (1 << 64) - 1])
def test_a_deveui_that_names_no_device_is_refused(ledger: BaseLedger, ask: Ask, value: int) -> None:
    """Zero and broadcast."""
    with pytest.raises(LedgerError, match="names no device"):
        ledger.claim(ask(1, dev_eui=Eui64(value)))
    assert ledger.is_empty


@pytest.mark.parametrize(
    "wrong",
    [{"operator": "\ud800"}, {"label": "a\0b"}, {"serial": "a\nb"}, {"station": "x" * 5000}, {"lot": "../up"}],
    ids=["surrogate", "NUL", "line end", "book", "path"],
)
def test_text_that_cannot_be_kept_changes_nothing(ledger: BaseLedger, ask: Ask, wrong: dict[str, Any]) -> None:
    """A broken terminal's surrogates are a sentence, not a crash, whatever the driver can hold."""
    with pytest.raises(LedgerError, match="wanted"):
        ledger.claim(ask(1, **wrong))
    assert ledger.is_empty
    assert ledger.claim(ask(1)).attempts == 1


# Keys


def test_generations_are_added_never_replaced(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """The next number only; the boxes go to the owner of the private key alone."""
    ledger.claim(ask(1))
    eui = ask(1).dev_eui
    with pytest.raises(LedgerError, match=r"generation 2 was offered.*1 comes next"):
        ledger.add_key(eui, 2, [key(1)], "r1")
    ledger.add_key(eui, 1, [key(1)], "r1")
    claim = ledger.add_key(eui, 2, [key(2)], "r2")
    assert claim.generations == (Generation(1, key(1).kcv, None, "r1"), Generation(2, key(2).kcv, None, "r2"))
    for wrong in (0, 1, 2, 4):
        with pytest.raises(LedgerError):
            ledger.add_key(eui, wrong, [key(9)], "r2")
    made = ledger.sealed_keys(eui)[1]
    assert (made.generation, made.kcv_app, made.boxes) == (
        2,
        key(2).kcv,
        (BoxDocument(slot="appkey", key_id="0123456789abcdef", box="Ym94"),),
    )
    assert "Ym94" not in str(ledger.find(str(eui)))
    assert "Ym94" not in str(list(ledger.all_claims()))


def test_both_root_keys_of_1_1_are_one_generation(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """With a box for each slot and each public key."""
    ledger.claim(ask(1))
    nwk = SealedKey("nwkkey", "F" * 16, (SealedBox("0" * 16, "Ym94"), SealedBox("1" * 16, "Ym94")))
    claim = ledger.add_key(ask(1).dev_eui, 1, [key(1), nwk], "r1")
    assert claim.generations == (Generation(1, key(1).kcv, "F" * 16, "r1"),)
    boxes = ledger.sealed_keys(ask(1).dev_eui)[0].boxes
    assert [(box.slot, box.key_id) for box in boxes] == [
        ("appkey", "0123456789abcdef"),
        ("nwkkey", "0" * 16),
        ("nwkkey", "1" * 16),
    ]


def test_an_equal_key_is_refused_wherever_it_is(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Under another identity, under its own, in the other slot, and twice in one generation."""
    for n in (1, 2):
        ledger.claim(ask(n))
    ledger.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    with pytest.raises(LedgerError, match=f"{ask(1).dev_eui} already has: an equal key"):
        ledger.add_key(ask(2).dev_eui, 1, [key(1)], "r1")
    with pytest.raises(LedgerError, match="an equal key"):
        ledger.add_key(ask(1).dev_eui, 2, [key(1)], "r1")
    as_nwk = SealedKey("nwkkey", key(1).kcv, key(1).boxes)
    with pytest.raises(LedgerError, match=f"{ask(1).dev_eui} already has: an equal key"):
        ledger.add_key(ask(2).dev_eui, 1, [key(2), as_nwk], "r1")
    with pytest.raises(LedgerError, match="one check value: an equal key"):
        ledger.add_key(ask(2).dev_eui, 1, [key(3), SealedKey("nwkkey", key(3).kcv, key(3).boxes)], "r1")
    ledger.add_key(ask(2).dev_eui, 1, [key(2)], "r1")
    assert ledger.check() == []


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [sealed(1, "nwkkey")],
        [sealed(1), sealed(2)],
        [SealedKey("appkey", "1" * 16, ())],
        [SealedKey("appkey", "1" * 16, (SealedBox("0" * 16, ""),))],
        [SealedKey("appkey", "1" * 16, (SealedBox("0" * 16, "?"),))],
        [SealedKey("appkey", "x", (SealedBox("0" * 16, "Ym94"),))],
        [SealedKey("appkey", "1" * 16, (SealedBox("short", "Ym94"),))],
    ],
)
def test_a_box_that_nobody_could_open_is_refused(ledger: BaseLedger, ask: Ask, keys: list[SealedKey]) -> None:
    """No AppKey, a slot twice, no box, malformed base64, check value or key id."""
    ledger.claim(ask(1))
    with pytest.raises(LedgerError, match="malformed"):
        ledger.add_key(ask(1).dev_eui, 1, keys, "r1")
    assert ledger.sealed_keys(ask(1).dev_eui) == ()


def test_boxes_for_a_new_public_key_are_added(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """The old ones stay, a second call changes nothing, and what is no box of this identity is refused."""
    to_passed(ledger, ask(1), key(1))
    eui, why = ask(1).dev_eui, {"reason": "rotation", "operator": "Eve"}
    box = BoxDocument(slot="appkey", key_id="f" * 16, box="bmV3")
    ledger.rewrap(eui, [(1, box)], **why)
    head = ledger.head()
    ledger.rewrap(eui, [(1, box)], **why)
    assert ledger.head() == head
    assert [kept.key_id for kept in ledger.sealed_keys(eui)[0].boxes] == ["0123456789abcdef", "f" * 16]
    assert document(ledger, eui).state == "passed"
    for generation, wrong in (
        (2, box),
        (1, box.model_copy(update={"slot": "nwkkey"})),
        (1, box.model_copy(update={"box": "?", "key_id": "e" * 16})),
    ):
        with pytest.raises(LedgerError, match="nothing was changed"):
            ledger.rewrap(eui, [(generation, wrong)], **why)


@pytest.mark.slow
def test_the_255th_generation_is_the_last(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """The identity block has one byte for it."""
    ledger.claim(ask(1))
    for n in range(1, 256):
        ledger.add_key(ask(1).dev_eui, n, [key(n)], "r1")
    with pytest.raises(LedgerError, match="all 255"):
        ledger.add_key(ask(1).dev_eui, 256, [key(256)], "r1")


# States


def test_only_what_was_read_back_passes(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Written and passed want an existing generation, passed the one last read back."""
    eui = ask(1).dev_eui
    for act in (ledger.mark_written, ledger.mark_passed):
        with pytest.raises(LedgerError, match="not in ledger"):
            act(eui, 1, "r1")
    ledger.claim(ask(1))
    for act in (ledger.mark_written, ledger.mark_passed):
        with pytest.raises(LedgerError, match=r"no usable key generation 1 \(usable: none\)"):
            act(eui, 1, "r1")
    ledger.add_key(eui, 1, [key(1)], "r1")
    with pytest.raises(LedgerError, match="not the last one read back"):
        ledger.mark_passed(eui, 1, "r1")
    assert ledger.mark_written(eui, 1, "r1").state == "written"
    claim = ledger.mark_passed(eui, 1, "r1")
    assert (claim.state, claim.proven) == ("passed", 1)


def test_a_board_that_is_being_written_holds_nothing_known(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """What was read back before does not count: it must be read back again before it passes."""
    to_passed(ledger, ask(1), key(1))
    eui = ledger.claim(ask(1, run="r2")).dev_eui
    claim = ledger.mark_writing(eui, "r2")
    assert (claim.state, claim.proven) == ("reserved", 1)
    head = ledger.head()
    assert ledger.mark_writing(eui, "r2") == claim
    assert ledger.head() == head
    with pytest.raises(LedgerError, match="not the last one read back"):
        ledger.mark_passed(eui, 1, "r2")
    with pytest.raises(LedgerError, match="cannot be exported"):
        export(ledger, ask(1), 1)


def test_rework_that_dies_before_the_board_is_written_changes_nothing(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Generation 2 is sealed, the board still holds generation 1: that one is proven, and that one is exported."""
    to_passed(ledger, ask(1), key(1))
    claim = ledger.claim(ask(1, run="r2"))
    assert (claim.attempts, claim.state, claim.proven) == (2, "passed", 1)
    claim = ledger.add_key(claim.dev_eui, 2, [key(2)], "r2")
    assert (claim.state, claim.proven) == ("passed", 1)
    with pytest.raises(LedgerError, match="proven key generation 1, and generation 2 cannot be exported"):
        export(ledger, ask(1), 2)
    claim = export(ledger, ask(1), 1)
    assert (claim.state, claim.exported) == ("exported", 1)


def test_a_failed_rework_takes_the_pass_away(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Also when nothing was written; a board that had not passed stays what it was."""
    assert ledger.claim(ask(1)).state == "reserved"
    assert ledger.mark_failed(ask(1).dev_eui, "r1").state == "reserved"
    to_passed(ledger, ask(1), key(1))
    ledger.claim(ask(1, run="r2"))
    claim = ledger.mark_failed(ask(1).dev_eui, "r2")
    assert (claim.state, claim.proven) == ("written", 1)
    with pytest.raises(LedgerError, match="cannot be exported"):
        export(ledger, ask(1), 1)


def test_a_killed_run_does_not_speak_over_its_successor(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """It is completed later, perhaps after another station had the board: neither its PASS nor its FAIL counts."""
    to_passed(ledger, ask(1), key(1))
    ledger.claim(ask(1, run="r2"))
    assert ledger.mark_failed(ask(1).dev_eui, "r1").state == "passed"
    ledger.mark_failed(ask(1).dev_eui, "r2")
    with pytest.raises(LedgerError, match="cannot pass in run r1: run r2 has worked on this board since"):
        ledger.mark_passed(ask(1).dev_eui, 1, "r1")
    assert document(ledger, ask(1).dev_eui).state == "written"


def test_a_nonce_never_goes_back(ledger: BaseLedger, ask: Ask) -> None:
    """A lower DevNonce means a damaged or foreign NVM; an equal one is no change."""
    eui = ledger.claim(ask(1)).dev_eui
    assert ledger.note_nonce(eui, 5, "r1").dev_nonce == 5
    head = ledger.head()
    ledger.note_nonce(eui, 5, "r1")
    assert ledger.head() == head
    with pytest.raises(NvmDamaged, match="went back from 5 to 4"):
        ledger.note_nonce(eui, 4, "r1")
    for wrong in (-1, 0x10000):
        with pytest.raises(LedgerError, match="no DevNonce"):
            ledger.note_nonce(eui, wrong, "r1")
    assert ledger.note_nonce(eui, 0xFFFF, "r1").dev_nonce == 0xFFFF


# Decisions of people


@pytest.mark.parametrize("state", ["quarantined", "exported", "scrapped", "void"])
def test_a_retired_identity_is_left_alone(ledger: BaseLedger, ask: Ask, key: Key, state: str) -> None:
    """No claim, no key, no writing, no PASS, no rebind; the sentence says which way leads back, if any."""
    if state == "void":
        ledger.void(ask(1, chip_id="", run=""), reason="torn")
    else:
        to_passed(ledger, ask(1), key(1))
        claim = export(ledger, ask(1), 1) if state == "exported" else decide(ledger, ask(1), state)
        assert claim.state == state
    eui = ask(1).dev_eui
    way = "give it another label" if state in ("scrapped", "void") else "`lorafab ledger rework`"
    refused: list[Callable[[], object]] = [
        lambda: ledger.claim(ask(1, run="r3")),
        lambda: ledger.add_key(eui, 2, [key(2)], "r3"),
        lambda: ledger.mark_writing(eui, "r3"),
        lambda: ledger.mark_written(eui, 1, "r3"),
        lambda: ledger.mark_passed(eui, 1, "r1"),
        lambda: ledger.rebind(eui, label="new", chip_id="", reason="x", operator="Eve", run=""),
    ]
    for act in refused:
        with pytest.raises(ForeignIdentity, match=f"is {state} since .*{way}"):
            act()
    assert ledger.mark_failed(eui, "r1").state == state


def test_rework_leads_back_from_quarantine_and_from_the_customer(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """To *reserved*: the board must pass anew, and then ships again from quarantine, or is not due from export."""
    for n in (1, 2):
        to_passed(ledger, ask(n), key(n))
    decide(ledger, ask(1), "quarantined")
    export(ledger, ask(2), 1)
    for n, due in ((1, True), (2, False)):
        assert decide(ledger, ask(n), "reserved").state == "reserved"
        assert newest(ledger).event == "rework"
        with pytest.raises(LedgerError, match="cannot be exported"):
            export(ledger, ask(n), 1)
        eui = ledger.claim(ask(n, run="r2")).dev_eui
        ledger.mark_written(eui, 1, "r2")
        ledger.mark_passed(eui, 1, "r2")
        assert claims.is_export_due(document(ledger, eui)) is due
    assert export(ledger, ask(2), 1).state == "exported"


def test_a_new_key_after_export_makes_the_export_due_again(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """From the moment in which it passes; the earlier generation is remembered until then."""
    assert not claims.is_export_due(claims.first_claim(ask(1), "now"))
    to_passed(ledger, ask(1), key(1))
    assert claims.is_export_due(document(ledger, ask(1).dev_eui))
    export(ledger, ask(1), 1)
    assert not claims.is_export_due(document(ledger, ask(1).dev_eui))
    decide(ledger, ask(1), "reserved")
    claim = to_passed(ledger, ask(1, run="r2"), key(2))
    assert (claim.state, claim.proven, claim.exported) == ("passed", 2, 1)
    assert claims.is_export_due(document(ledger, ask(1).dev_eui))
    claim = export(ledger, ask(1), 2)
    assert (claim.state, claim.exported) == ("exported", 2)


def to_passed_with_an_element(ledger: BaseLedger, request: ClaimRequest) -> Claim:
    """One board through the line, whose secure element has a key of its own."""
    eui, run = request.dev_eui, request.run
    ledger.claim(request)
    ledger.mark_writing(eui, run)
    assert ledger.mark_written(eui, 0, run).state == "written"
    return ledger.mark_passed(eui, 0, run, "unproven")


def test_a_board_whose_key_is_its_elements_passes_unproven(home: Home, ask: Ask) -> None:
    """Generation 0: no key is kept, none is proven, and the board is found, checked and exported like any other."""
    ledger = home.create()
    claim = to_passed_with_an_element(ledger, ask(1))
    assert (claim.state, claim.generations, claim.proven, claim.exported) == ("passed", (), None, None)
    found = home.open().find(ask(1).serial)
    assert found is not None
    assert (found["key_evidence"], found["written"]) == ("unproven", 0)
    assert claims.is_export_due(document(ledger, ask(1).dev_eui))
    for generation in (1, 2):
        with pytest.raises(LedgerError, match="cannot be exported"):
            export(ledger, ask(1), generation)
    claim = export(ledger, ask(1), 0)
    assert (claim.state, claim.exported) == ("exported", 0)
    assert not claims.is_export_due(document(ledger, ask(1).dev_eui))
    decide(ledger, ask(1), "reserved")
    assert to_passed_with_an_element(ledger, ask(1, run="r2")).exported == 0
    assert not claims.is_export_due(document(ledger, ask(1).dev_eui))
    assert ledger.count("demo", 0).passed == 1
    assert ledger.check() == []


def test_an_elements_board_may_get_another_chip(ledger: BaseLedger, ask: Ask) -> None:
    """The element, and with it DevEUI and key, may outlive the microcontroller beside it."""
    to_passed_with_an_element(ledger, ask(1))
    eui = ask(1).dev_eui
    ledger.rebind(eui, label="", chip_id="B" * 24, reason="MCU replaced", operator="Eve", run="")
    claim = to_passed_with_an_element(ledger, ask(1, run="r2", chip_id="B" * 24))
    assert (claim.state, claim.attempts) == ("passed", 2)


def test_an_asserted_key_passes_and_is_not_exported(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """The board said that it took the key, and nobody has read it back: it may hold another."""
    claim = to_passed(ledger, ask(1), key(1))
    assert claim.proven == 1
    ledger.claim(ask(1, run="r2"))
    ledger.mark_written(ask(1).dev_eui, 1, "r2")
    claim = ledger.mark_passed(ask(1).dev_eui, 1, "r2", "asserted")
    assert (claim.state, claim.proven) == ("passed", None)
    found = ledger.find(str(ask(1).dev_eui))
    assert found is not None
    assert found["key_evidence"] == "asserted"
    assert not claims.is_export_due(document(ledger, ask(1).dev_eui))
    for generation in (0, 1):
        with pytest.raises(LedgerError, match="is passed with proven key generation -"):
            export(ledger, ask(1), generation)


@pytest.mark.parametrize(("generation", "evidence"), [(0, "read back"), (0, "asserted"), (1, "unproven")])
def test_a_key_is_proven_as_its_kind_can_be(
    ledger: BaseLedger, ask: Ask, key: Key, generation: int, evidence: Any
) -> None:
    """Nobody reads an element's key; and a key of the vault's is not unproven, but read back or asserted."""
    eui = ask(1).dev_eui
    ledger.claim(ask(1))
    if generation:
        ledger.add_key(eui, 1, [key(1)], "r1")
    ledger.mark_written(eui, generation, "r1")
    with pytest.raises(LedgerError, match=f"cannot pass with key generation {generation} as {evidence}: a secure"):
        ledger.mark_passed(eui, generation, "r1", evidence)
    assert document(ledger, eui).state == "written"


def test_a_board_with_a_key_of_the_vaults_has_no_element(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """One of the two would be wrong, and the customer would get the wrong one."""
    ledger.claim(ask(1))
    ledger.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    with pytest.raises(LedgerError, match="was given 1 keys of the vault's, and now a secure element is said to have"):
        ledger.mark_written(ask(1).dev_eui, 0, "r1")


def test_how_a_key_is_known_is_said_of_boards_that_passed(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Before that nothing is known of it."""
    ledger.claim(ask(1))
    to_passed(ledger, ask(2), key(2))
    assert {found["serial"]: found["key_evidence"] for found in ledger.all_claims()} == {
        ask(1).serial: None,
        ask(2).serial: "read back",
    }


def test_an_export_is_noted_once(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """A second one of the same generation changes nothing; only what passed is exported."""
    ledger.claim(ask(1))
    with pytest.raises(LedgerError, match="is reserved with proven key generation -"):
        export(ledger, ask(1), 1)
    to_passed(ledger, ask(1), key(1))
    export(ledger, ask(1), 1)
    head = ledger.head()
    assert export(ledger, ask(1), 1).state == "exported"
    assert ledger.head() == head


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (("scrapped",), "quarantined"),
        (("scrapped",), "reserved"),
        (("scrapped",), "scrapped"),
        ((), "reserved"),
        ((), "passed"),
        ((), "exported"),
        ((), "void"),
    ],
)
def test_no_other_way_leads_anywhere(ledger: BaseLedger, ask: Ask, path: tuple[str, ...], wanted: str) -> None:
    """Scrapped is for ever, and nobody decides that a board has passed."""
    ledger.claim(ask(1))
    for state in path:
        decide(ledger, ask(1), state)
    with pytest.raises(LedgerError, match="nothing was changed"):
        decide(ledger, ask(1), wanted)


def test_the_chip_of_a_scrapped_identity_may_get_another_label(ledger: BaseLedger, ask: Ask) -> None:
    """The DevEUI, the label and the serial are gone for ever."""
    ledger.claim(ask(1))
    decide(ledger, ask(1), "scrapped")
    assert ledger.claim(ask(2, run="r3", chip_id=ask(1).chip_id)).attempts == 1
    found = ledger.find(ask(1).chip_id)
    assert found is not None
    assert found["dev_eui"] == str(ask(2).dev_eui)
    with pytest.raises(ForeignIdentity, match="is scrapped"):
        ledger.claim(ask(1, run="r4"))
    with pytest.raises(ForeignIdentity, match="is scrapped"):
        ledger.claim(ask(1, run="r4", chip_id="ANOTHER", label="another"))
    for field in ("label", "serial"):
        with pytest.raises(BoundElsewhere):
            ledger.claim(ask(3, run="r5", **{field: getattr(ask(1), field)}))
    assert ledger.check() == []


def test_a_repair_moves_the_identity_to_another_chip(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """Old keys are never written again, the DevNonce stays as floor, the old chip is free, history says why."""
    to_passed(ledger, ask(1), key(1))
    ledger.note_nonce(ask(1).dev_eui, 9, "r1")
    eui = ask(1).dev_eui
    claim = ledger.rebind(eui, label="", chip_id="BEEF", reason="MCU replaced", operator="Bob", run="")
    assert (claim.state, claim.proven, claim.dev_nonce, claim.retired) == ("reserved", None, 9, 1)
    entry = newest(ledger)
    assert (entry.event, entry.reason, entry.operator, entry.station) == ("rebind", "MCU replaced", "Bob", "")
    with pytest.raises(LedgerError, match=r"no usable key generation 1 \(usable: none\)"):
        ledger.mark_written(eui, 1, "r2")
    with pytest.raises(BoundElsewhere, match="belongs to chip BEEF"):
        ledger.claim(ask(1, run="r2"))
    assert ledger.claim(ask(1, run="r2", chip_id="BEEF")).attempts == 2
    with pytest.raises(NvmDamaged, match="went back from 9 to 0"):
        ledger.note_nonce(eui, 0, "r2")
    ledger.add_key(eui, 2, [key(2)], "r2")
    ledger.mark_written(eui, 2, "r2")
    assert ledger.mark_passed(eui, 2, "r2").proven == 2
    ledger.claim(ask(2, run="r3", chip_id=ask(1).chip_id))
    with pytest.raises(BoundElsewhere):
        ledger.rebind(ask(2).dev_eui, label="", chip_id="BEEF", reason="x", operator="Eve", run="")
    assert ledger.check() == []


def test_a_new_label_supersedes_a_torn_one(ledger: BaseLedger, ask: Ask) -> None:
    """The board is found by the new one only."""
    ledger.claim(ask(1))
    ledger.rebind(ask(1).dev_eui, label="new", chip_id="", reason="torn", operator="Eve", run="")
    assert ledger.find(ask(1).label) is None
    assert ledger.find("new") == ledger.find(ask(1).chip_id)
    with pytest.raises(BoundElsewhere, match="carries label new"):
        ledger.claim(ask(1, run="r2"))
    with pytest.raises(LedgerError, match="wanted a new label or chip"):
        ledger.rebind(ask(1).dev_eui, label="new", chip_id=ask(1).chip_id, reason="x", operator="Eve", run="")
    with pytest.raises(BoundElsewhere):
        ledger.claim(ask(2, run="r2", label="new"))


def test_a_spoiled_label_is_never_used(ledger: BaseLedger, ask: Ask) -> None:
    """Voided once, refused for every chip; one that a board bears cannot be voided."""
    ledger.void(ask(1, chip_id="", run=""), reason="torn")
    head = ledger.head()
    assert ledger.void(ask(1, chip_id="", run=""), reason="torn").state == "void"
    assert ledger.head() == head
    kept = document(ledger, ask(1).dev_eui)
    assert (kept.chip_id, kept.run, kept.attempts) == ("", "", 0)
    with pytest.raises(ForeignIdentity, match=r"is void since .*last run -"):
        ledger.claim(ask(1, run="r1"))
    with pytest.raises(BoundElsewhere, match=r"label .* belongs to DevEUI .* chip -\) since run -"):
        ledger.claim(ask(2, label=ask(1).label))
    ledger.claim(ask(3))
    with pytest.raises(LedgerError, match=f"is on chip {ask(3).chip_id} since run r1"):
        ledger.void(ask(3, chip_id="", run=""), reason="torn")


@pytest.mark.parametrize("missing", ["reason", "operator"])
def test_a_decision_without_reason_or_name_is_refused(ledger: BaseLedger, ask: Ask, key: Key, missing: str) -> None:
    """For every one of them; nothing is changed."""
    to_passed(ledger, ask(1), key(1))
    why: dict[str, Any] = {"reason": "why", "operator": "Eve"} | {missing: ""}
    eui, head = ask(1).dev_eui, ledger.head()
    acts: list[Callable[[], object]] = [
        lambda: ledger.move(eui, "scrapped", **why),
        lambda: ledger.rebind(eui, label="new", chip_id="", run="", **why),
        lambda: ledger.mark_exported(eui, 1, **why),
        lambda: ledger.rewrap(eui, [], **why),
        lambda: ledger.close_lot("demo", **why),
        lambda: ledger.note_printed("demo", 3, **why),
        lambda: ledger.void(ask(2, operator=why["operator"]), reason=why["reason"]),
    ]
    for act in acts:
        with pytest.raises(LedgerError, match="needs a reason and the name of the operator"):
            act()
    assert ledger.head() == head


# Lots


def test_a_closed_lot_gets_no_new_board(ledger: BaseLedger, ask: Ask) -> None:
    """Rework goes on; other lots too; a second closing is refused."""
    ledger.claim(ask(1))
    assert not ledger.lot("demo").closed
    assert ledger.close_lot("demo", reason="done", operator="Eve").closed
    with pytest.raises(LedgerError, match="lot demo was closed at 2026"):
        ledger.claim(ask(2))
    assert ledger.claim(ask(1, run="r2")).attempts == 2
    ledger.claim(ask(3, lot="other"))
    with pytest.raises(LedgerError, match="was closed"):
        ledger.close_lot("demo", reason="done", operator="Eve")
    with pytest.raises(LedgerError, match="was closed"):
        ledger.note_printed("demo", 9, reason="sheet", operator="Eve")


def test_printed_labels_are_counted_up(home: Home, ledger: BaseLedger) -> None:
    """The number never goes back, and is there for the next process."""
    why: dict[str, Any] = {"reason": "sheet", "operator": "Eve"}
    assert ledger.note_printed("demo", 10, **why).printed == 10
    assert ledger.note_printed("demo", 3, **why).printed == 10
    assert home.open().lot("demo").printed == 10
    with pytest.raises(LedgerError, match="is no lot's name"):
        ledger.note_printed("../up", 3, **why)
    assert ledger.check() == []


def test_a_lot_adds_up(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """printed = passed + scrapped + void + open, whatever happened to its labels."""
    for n in (1, 2, 3, 4):
        to_passed(ledger, ask(n), key(n))
    export(ledger, ask(1), 1)
    decide(ledger, ask(2), "scrapped")
    decide(ledger, ask(3), "quarantined")
    ledger.claim(ask(5))
    ledger.void(ask(6, chip_id="", run=""), reason="torn")
    ledger.claim(ask(7, lot="other"))
    count = ledger.count("demo", 20)
    assert (count.printed, count.passed, count.scrapped, count.void, count.open) == (20, 2, 1, 1, 16)
    count = ledger.count("demo", 0)
    assert (count.printed, count.open) == (6, 2)


# The chain


def test_the_history_says_what_happened(ledger: BaseLedger, ask: Ask, key: Key) -> None:
    """One entry a change, in order, chained; the newest is the head."""
    to_passed(ledger, ask(1), key(1))
    ledger.note_printed("demo", 3, reason="sheet", operator="Bob")
    entries = [entry for entry in ledger.entries() if isinstance(entry, Entry)]
    assert [entry.event for entry in entries] == ["claim", "key", "written", "passed", "printed"]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.prev for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert entries[-1].hash == ledger.head()
    assert {(entry.run, entry.station, entry.operator) for entry in entries[:-1]} == {("r1", "A", "Eve")}
    assert (entries[-1].operator, entries[-1].reason) == ("Bob", "sheet")


# Anything at all, against a dictionary

BOARDS, CHIPS = st.integers(1, 4), st.integers(1, 4)
GENERATIONS = st.integers(1, 3)
WHY = {"reason": "x", "operator": "y"}


class LedgerMachine(RuleBasedStateMachine):
    """Random work on few labels and chips; the dictionary says what must come out."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.home = home
        self.boards: dict[int, dict[str, Any]] = {}
        self.seen: dict[int, list[str]] = {}
        self.closed: set[str] = set()
        self.runs = 0

    @initialize()
    def start(self) -> None:
        self.place = self.home.other()
        self.ledger = self.place.create()

    def teardown(self) -> None:
        self.ledger.close()

    def _try(self, refused: type[LorafabError] | tuple[type[LorafabError], ...] | None, act: Callable[[], Any]) -> Any:
        if refused is None:
            return act()
        head = self.ledger.head()
        with pytest.raises(refused):
            act()
        assert self.ledger.head() == head
        return None

    def _blank(self, n: int, chip: str, state: str, lot: str) -> dict[str, Any]:
        return {
            "chip": chip, "label": f"L{n}", "serial": f"S{n % 3}", "lot": lot, "state": state, "run": "",
            "keys": [], "retired": 0, "written": None, "proven": None, "exported": None, "attempts": 0, "nonce": None,
        }  # fmt: skip

    def _taken(self, n: int, chip: str, label: str, serial: str, lot: str) -> bool:
        return any(
            m != n
            and (
                (chip and other["chip"] == chip and other["state"] != "scrapped")
                or other["label"] == label
                or (other["serial"], other["lot"]) == (serial, lot)
            )
            for m, other in self.boards.items()
        )

    @rule(n=BOARDS, chip=CHIPS, lot=st.sampled_from(["one", "two"]))
    def claim(self, n: int, chip: int, lot: str) -> None:
        self.runs += 1
        run, mine = f"r{self.runs}", self.boards.get(n)
        lot = mine["lot"] if mine else lot
        label = mine["label"] if mine else f"L{n}"
        request = request_for(n, run, chip_id=f"C{chip}", lot=lot, label=label, serial=f"S{n % 3}")
        refused: type[LorafabError] | None = None
        if mine is None:
            if lot in self.closed:
                refused = LedgerError
            elif self._taken(n, f"C{chip}", label, f"S{n % 3}", lot):
                refused = BoundElsewhere
        elif mine["state"] in ("scrapped", "void"):
            refused = ForeignIdentity
        elif mine["chip"] != f"C{chip}":
            refused = BoundElsewhere
        elif mine["state"] in ("exported", "quarantined"):
            refused = ForeignIdentity
        if self._try(refused, lambda: self.ledger.claim(request)):
            mine = self.boards.setdefault(n, self._blank(n, f"C{chip}", "reserved", lot))
            mine["run"] = run
            mine["attempts"] += 1

    def _open(self, n: int) -> dict[str, Any] | None:
        mine = self.boards.get(n)
        return None if mine is None or mine["state"] in claims.RETIRED else mine

    @rule(n=BOARDS, generation=GENERATIONS, same=st.booleans(), slots=st.sampled_from([1, 2]))
    def key(self, n: int, generation: int, same: bool, slots: int) -> None:
        mine = self._open(n)
        number = 0xAA if same else n << 8 | generation
        names: tuple[KeySlot, ...] = ("appkey", "nwkkey")
        keys = [sealed(number, slot) for slot in names[:slots]]
        used = {kcv for board in self.boards.values() for kcvs in board["keys"] for kcv in kcvs}
        fine = mine and generation == len(mine["keys"]) + 1 and not used & {key.kcv for key in keys}
        refused = None if fine else (LedgerError, ForeignIdentity)
        eui = Eui64(DEV_EUI + n)
        if self._try(refused, lambda: self.ledger.add_key(eui, generation, keys, "r")):
            assert mine is not None
            mine["keys"].append({key.kcv for key in keys})

    @rule(n=BOARDS)
    def writing(self, n: int) -> None:
        mine = self._open(n)
        refused = None if mine else (LedgerError, ForeignIdentity)
        if self._try(refused, lambda: self.ledger.mark_writing(Eui64(DEV_EUI + n), "r")):
            assert mine is not None
            mine |= {"state": "reserved", "written": None}

    @rule(n=BOARDS, generation=GENERATIONS)
    def write(self, n: int, generation: int) -> None:
        mine = self._open(n)
        fine = mine and mine["retired"] < generation <= len(mine["keys"])
        refused = None if fine else (LedgerError, ForeignIdentity)
        if self._try(refused, lambda: self.ledger.mark_written(Eui64(DEV_EUI + n), generation, "r")):
            assert mine is not None
            mine |= {"state": "written", "written": generation}

    @rule(n=BOARDS, generation=GENERATIONS, late=st.booleans())
    def succeed(self, n: int, generation: int, late: bool) -> None:
        mine = self._open(n)
        fine = mine and not late and mine["written"] == generation
        refused = None if fine else (LedgerError, ForeignIdentity)
        run = "late" if late or mine is None else mine["run"]
        if self._try(refused, lambda: self.ledger.mark_passed(Eui64(DEV_EUI + n), generation, run)):
            assert mine is not None
            mine |= {"state": "passed", "proven": generation}

    @rule(n=BOARDS, late=st.booleans())
    def fail(self, n: int, late: bool) -> None:
        mine = self.boards.get(n)
        run = "late" if late or mine is None else mine["run"]
        self._try(None if mine else LedgerError, lambda: self.ledger.mark_failed(Eui64(DEV_EUI + n), run))
        if mine and not late and mine["state"] == "passed":
            mine["state"] = "written"

    @rule(n=BOARDS, generation=GENERATIONS)
    def export(self, n: int, generation: int) -> None:
        mine = self.boards.get(n)
        fine = mine and mine["state"] in ("passed", "exported") and mine["proven"] == generation
        act = lambda: self.ledger.mark_exported(Eui64(DEV_EUI + n), generation, **WHY)  # noqa: E731
        if self._try(None if fine else LedgerError, act):
            assert mine is not None
            mine |= {"state": "exported", "exported": generation}

    @rule(n=BOARDS, state=st.sampled_from(["quarantined", "reserved", "scrapped"]))
    def move(self, n: int, state: Any) -> None:
        mine = self.boards.get(n)
        allowed = {
            "quarantined": ("reserved", "written", "passed", "exported", "quarantined"),
            "scrapped": ("reserved", "written", "passed", "exported", "quarantined"),
            "reserved": ("quarantined", "exported"),
        }
        fine = mine and mine["state"] in allowed[state]
        if self._try(None if fine else LedgerError, lambda: self.ledger.move(Eui64(DEV_EUI + n), state, **WHY)):
            assert mine is not None
            mine["state"] = state

    @rule(n=BOARDS, lot=st.sampled_from(["one", "two"]))
    def void(self, n: int, lot: str) -> None:
        mine = self.boards.get(n)
        request = request_for(n, "", chip_id="", lot=lot, label=f"L{n}", serial=f"S{n % 3}")
        refused: type[LorafabError] | None = None
        if mine is not None and mine["state"] != "void":
            refused = LedgerError
        elif mine is None and self._taken(n, "", f"L{n}", f"S{n % 3}", lot):
            refused = BoundElsewhere
        if self._try(refused, lambda: self.ledger.void(request, reason="x")):
            self.boards.setdefault(n, self._blank(n, "", "void", lot))

    @rule(n=BOARDS, chip=CHIPS, label=st.sampled_from(["", "L1", "new"]))
    def rebind(self, n: int, chip: int, label: str) -> None:
        mine = self._open(n)
        refused: tuple[type[LorafabError], ...] | None = None
        if mine is None:
            refused = (LedgerError, ForeignIdentity, BoundElsewhere)
        elif self._taken(n, f"C{chip}", label or mine["label"], "", ""):
            refused = (BoundElsewhere,)
        elif (mine["chip"], mine["label"]) == (f"C{chip}", label or mine["label"]):
            refused = (LedgerError,)
        eui = Eui64(DEV_EUI + n)
        if self._try(refused, lambda: self.ledger.rebind(eui, label=label, chip_id=f"C{chip}", run="", **WHY)):
            assert mine is not None
            mine |= {"chip": f"C{chip}", "label": label or mine["label"], "state": "reserved"}
            mine |= {"written": None, "proven": None, "retired": len(mine["keys"])}

    @rule(n=BOARDS, nonce=st.integers(0, 5))
    def nonce(self, n: int, nonce: int) -> None:
        mine = self.boards.get(n)
        back = mine and mine["nonce"] is not None and nonce < mine["nonce"]
        refused = LedgerError if mine is None else NvmDamaged if back else None
        if self._try(refused, lambda: self.ledger.note_nonce(Eui64(DEV_EUI + n), nonce, "r")):
            assert mine is not None
            mine["nonce"] = nonce

    @rule(lot=st.sampled_from(["one", "two"]))
    def close_lot(self, lot: str) -> None:
        refused = LedgerError if lot in self.closed else None
        self._try(refused, lambda: self.ledger.close_lot(lot, **WHY))
        self.closed.add(lot)

    @rule()
    def another_process(self) -> None:
        self.ledger.close()
        self.ledger = self.place.open()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {int(kept.dev_eui, 16) - DEV_EUI: kept for kept in self.ledger.documents()}
        assert found.keys() == self.boards.keys()
        for n, mine in self.boards.items():
            kept = found[n]
            assert (kept.chip_id, kept.label, kept.state) == (mine["chip"], mine["label"], mine["state"])
            assert [set(made.kcvs) for made in kept.generations] == mine["keys"]
            assert (kept.retired_generations, kept.written, kept.proven, kept.exported) == (
                mine["retired"],
                mine["written"],
                mine["proven"],
                mine["exported"],
            )
            assert (kept.attempts, kept.dev_nonce, kept.run) == (mine["attempts"], mine["nonce"], mine["run"])
        self._nothing_twice(list(found.values()))

    def _nothing_twice(self, kept: list[ClaimDocument]) -> None:
        """Straight from the documents, so that a model with the same mistake as the rules does not hide it."""
        keys = Counter(
            (kind, key, board.lot if kind == "serial" else "")
            for board in kept
            for kind, key in claims.unique_keys(board)
        )
        assert set(keys.values()) <= {1}
        for board in kept:
            assert board.proven is None or board.proven <= len(board.generations)
            assert board.state != "passed" or board.proven is not None

    @rule()
    def check(self) -> None:
        assert self.ledger.check() == []
        seqs = [entry.seq for entry in self.ledger.entries() if isinstance(entry, Entry)]
        assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.slow
def test_anything_at_all(home: Home) -> None:
    """Whatever is asked in whatever order: the ledger says what the dictionary says, and nothing is given twice."""

    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(home)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
