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
FIRST = 0x70B3D5499A1B0000

LOT = """
lot: {name}
product: endnode-wle5
kind: {kind}
join_eui: "70B3D57ED0000001"
ledger: {ledger}
dev_eui: {{source: label, first: "70B3D5499A1B0000", quantity: 500}}
serial: {{prefix: SN, digits: 6}}
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

    def lot(
        self, name: str = "L1", lorawan: str = "1.0.4", region: str = "EU868", kind: str = "production"
    ) -> LotConfig:
        """Write a lot's file."""
        ledger = self.ledger.ledger_id if kind == "production" else "null"
        text = LOT.format(name=name, kind=kind, ledger=ledger, lorawan=lorawan, region=region)
        (self.root / "stations" / "lots" / f"{name}.yaml").write_text(text)
        return load_lot(self.root, name)

    def claim(self, lot: LotConfig, number: int, *, virtual: bool = False, run: str = "") -> Eui64:
        """Bind board ``number`` of the lot: *reserved*."""
        dev_eui = Eui64(FIRST + number)
        chip = f"{VIRTUAL_CHIP_PREFIX if virtual else 'C0FFEE00'}{number:016X}"
        run = run or f"run-{number}"
        label, serial = lot.label_text(number), f"SN{number + 1:06}"
        self.ledger.claim(ClaimRequest(dev_eui, lot.join_eui, serial, label, chip, lot.lot, run, "A", "Eve"))
        return dev_eui

    def seal(self, lot: LotConfig, dev_eui: Eui64, generation: int = 1) -> None:
        """Give it a key generation: a key in the vault, none on the board yet."""
        made = {slot: self.vault.new_key(dev_eui, generation, slot) for slot in lot.key_slots}
        self.ledger.add_key(dev_eui, generation, [sealed for _, sealed in made.values()], f"run-{generation}")
        self.keys |= {(str(dev_eui), generation, slot): key for slot, (key, _) in made.items()}

    def prove(self, dev_eui: Eui64, generation: int = 1) -> None:
        """The board was read back with it, and passed."""
        self.ledger.mark_written(dev_eui, generation, "run")
        self.ledger.mark_passed(dev_eui, generation, "run")

    def produce(self, lot: LotConfig, number: int, *, virtual: bool = False) -> Eui64:
        """A board that passed."""
        dev_eui = self.claim(lot, number, virtual=virtual)
        self.seal(lot, dev_eui)
        self.prove(dev_eui)
        return dev_eui

    def rekey(self, lot: LotConfig, dev_eui: Eui64) -> None:
        """Taken up for rework after the export, given the next key generation, passed again."""
        self.ledger.move(dev_eui, "reserved", reason="rework", operator="Eve")
        generation = len(self.ledger.sealed_keys(dev_eui)) + 1
        self.seal(lot, dev_eui, generation)
        self.prove(dev_eui, generation)

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
