"""Lots with boards in a real ledger, keys in a real vault, in a project folder of the test's own."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lorafab.config.load import load_lot
from lorafab.config.models import LotConfig
from lorafab.domain.identity import VIRTUAL_CHIP_PREFIX, Eui64
from lorafab.domain.secret import Secret
from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import ClaimRequest
from lorafab.stores.keyring import create_pair
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault

ROOT = Path(__file__).resolve().parents[2]

LOT = """
lot: {name}
product: endnode-wle5
kind: {kind}
join_eui: "70B3D57ED0000001"
ledger: {ledger}
dev_eui: {{source: label, first: "70B3D5499A1{digit}0000", quantity: 500}}
serial: {{prefix: S{digit}, digits: 6}}
profile: "AABB1122"
lorawan: "{lorawan}"
region: {region}
activation: OTAA
"""


@dataclass
class Factory:
    """A project whose boards are made by hand, and what their keys really are."""

    root: Path
    ledger: TinyLedger
    vault: Vault
    private: Path
    keys: dict[tuple[str, int, str], Secret] = field(default_factory=dict)
    """(DevEUI, generation, slot) -> key."""
    claimed: list[Eui64] = field(default_factory=list)
    runs: dict[Eui64, str] = field(default_factory=dict)
    """The run that works, or worked last, on a board."""

    def lot(
        self,
        name: str = "L1",
        lorawan: str = "1.0.4",
        region: str = "EU868",
        kind: str = "production",
        digit: str = "B",
    ) -> LotConfig:
        """Write a lot's file; ``digit`` of DevEUIs and serials keeps lots apart."""
        ledger = self.ledger.ledger_id if kind == "production" else "null"
        text = LOT.format(name=name, kind=kind, ledger=ledger, lorawan=lorawan, region=region, digit=digit)
        (self.root / "stations" / "lots" / f"{name}.yaml").write_text(text)
        return load_lot(self.root, name)

    def claim(self, lot: LotConfig, number: int, *, virtual: bool = False) -> Eui64:
        """Bind board ``number`` of the lot in a run of its own: *reserved*, or in rework."""
        dev_eui = lot.dev_eui_of(number)
        assert dev_eui is not None
        chip = f"{VIRTUAL_CHIP_PREFIX if virtual else 'C0FFEE00'}{number:016X}"
        self.runs[dev_eui] = f"run-{len(self.claimed)}"
        self.claimed.append(dev_eui)
        label, serial = lot.label_text(number), lot.serial_of(number)
        run = self.runs[dev_eui]
        self.ledger.claim(ClaimRequest(dev_eui, lot.join_eui, serial, label, chip, lot.lot, run, "A", "Eve"))
        return dev_eui

    def seal(self, lot: LotConfig, dev_eui: Eui64) -> int:
        """Give it the next key generation: a key in the vault, none on the board yet."""
        generation = len(self.ledger.sealed_keys(dev_eui)) + 1
        made = {slot: self.vault.new_key(dev_eui, generation, slot) for slot in lot.key_slots}
        self.ledger.add_key(dev_eui, generation, [sealed for _, sealed in made.values()], self.runs[dev_eui])
        self.keys |= {(str(dev_eui), generation, slot): key for slot, (key, _) in made.items()}
        return generation

    def write(self, dev_eui: Eui64, generation: int) -> None:
        """The board was written, and read back with this generation."""
        self.ledger.mark_writing(dev_eui, self.runs[dev_eui])
        self.ledger.mark_written(dev_eui, generation, self.runs[dev_eui])

    def produce(self, lot: LotConfig, number: int, *, virtual: bool = False) -> Eui64:
        """A board that passed, with a new key."""
        dev_eui = self.claim(lot, number, virtual=virtual)
        generation = self.seal(lot, dev_eui)
        self.write(dev_eui, generation)
        self.ledger.mark_passed(dev_eui, generation, self.runs[dev_eui])
        return dev_eui

    def rekey(self, lot: LotConfig, number: int) -> None:
        """Taken up for rework after the export, given the next key generation, passed again."""
        dev_eui = lot.dev_eui_of(number)
        assert dev_eui is not None
        self.ledger.move(dev_eui, "reserved", reason="rework", operator="Eve")
        self.produce(lot, number)

    def state(self, dev_eui: Eui64) -> tuple[str, int | None]:
        """State and exported generation, as they are on disk."""
        found = TinyLedger.open(self.root / "data", SystemClock(), read_only=True).find(str(dev_eui))
        assert found is not None
        return found["state"], found["exported"]

    def key(self, dev_eui: Eui64, slot: str = "appkey", generation: int = 1) -> str:
        """What an export must hold: 32 upper-case hex digits."""
        return self.keys[str(dev_eui), generation, slot].reveal().hex().upper()


def open_factory(root: Path) -> Factory:
    """An empty one, in ``root``."""
    (root / "stations" / "lots").mkdir(parents=True)
    (root / "firmware" / "endnode-wle5").mkdir(parents=True)
    shutil.copy(ROOT / "firmware" / "endnode-wle5" / "product.yaml", root / "firmware" / "endnode-wle5")
    private = root / "private.pem"
    create_pair(private, root / "vault.pub", None)
    ledger = TinyLedger.create(root / "data", SystemClock())
    return Factory(root, ledger, Vault(root / "vault.pub"), private)
