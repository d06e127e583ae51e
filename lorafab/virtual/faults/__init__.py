"""What goes wrong with a virtual board, declared before it runs.

A plan is Python, ``FaultPlan((Unplug(at=transfer(1500)), StuckBit(0x08000003, 5, 0)))``, or the same in one line of
text, ``FaultPlan.parse("unplug@transfer:1500; stuck_bit=0x08000003.5=0")``, or a YAML file, ``FaultPlan.parse(
"@faults.yaml")``; ``text`` has the grammar. What a plan does in a run that has begun is in ``active``.
"""

from lorafab.virtual.faults.active import Action, ActiveFaults, LinkFault
from lorafab.virtual.faults.kinds import (
    Baud,
    Dpidr,
    Fault,
    FlashSize,
    Hang,
    Idcode,
    JigFault,
    KeyLock,
    Lockup,
    NoAck,
    Parity,
    PowerCut,
    ReadProtect,
    SlowErase,
    StuckBit,
    Swap,
    Uart,
    Unplug,
    Wait,
    WriteProtect,
)
from lorafab.virtual.faults.plan import FaultPlan, Standing
from lorafab.virtual.faults.when import (
    FOREVER,
    When,
    address,
    byte,
    host_byte,
    instruction,
    power_on,
    time,
    transfer,
    word,
)

__all__ = [
    "FOREVER", "Action", "ActiveFaults", "Baud", "Dpidr", "Fault", "FaultPlan", "FlashSize", "Hang", "Idcode",
    "JigFault", "KeyLock", "LinkFault", "Lockup", "NoAck", "Parity", "PowerCut", "ReadProtect", "SlowErase", "Standing",
    "StuckBit", "Swap", "Uart", "Unplug", "Wait", "When", "WriteProtect", "address", "byte", "host_byte",
    "instruction", "power_on", "time", "transfer", "word",
]  # fmt: skip
