"""What the virtual boards' time is made of: every constant of the model, its source, and whether that source was read.

``table`` is the model of one chip with its flash times, ``digest`` a short name for it: figures measured on virtual
boards mean nothing without it. Times that the model leaves out: the host's own, the probe firmware's, and several
packets in flight, which make a real probe faster.
"""

import hashlib
from dataclasses import dataclass, fields

from lorafab.virtual.chip import Chip

_DAPLINK = "DAPLink, SW_DP.c, SWD_Transfer"
_PYOCD = "pyOCD 0.46, cmsis_dap_core.py"
_DAP2 = "CMSIS-DAP 2 specification"

PACKET_BYTES = 512
PACKETS_IN_FLIGHT = 1
USB_ROUND_TRIP_NS = 125_000
DEFAULT_CLOCK_HZ = 1_000_000

IDLE_CLOCKS = 2
OK_CLOCKS = 46 + IDLE_CLOCKS
REFUSED_CLOCKS = 13
SILENT_CLOCKS = 46
WAIT_RETRIES = 150

BLOCK_REQUEST_BYTES = 5
BLOCK_ANSWER_BYTES = 4
TRANSFER_HEADER_BYTES = 3
MAX_TRANSFERS = 255

SETTLE_NS = 20_000_000
POLL_SKIP_NS = 50_000_000

CONNECT_PACKETS = 6
DISCONNECT_PACKETS = 3


@dataclass(frozen=True)
class Figure:
    """One constant of the model."""

    name: str
    value: int
    unit: str
    source: str
    verified: bool = True
    """The named source was read; otherwise the value is what nobody could find."""


_PROBE = (
    Figure("swd.clocks.ok", OK_CLOCKS, "clocks", f"{_DAPLINK}: 8 + 1 + 3 + 33 + 1, and the idle cycles"),
    Figure("swd.clocks.parity", OK_CLOCKS, "clocks", f"{_DAPLINK}: as OK"),
    Figure("swd.clocks.wait", REFUSED_CLOCKS, "clocks", f"{_DAPLINK}: 8 + 1 + 3 + 1 without data phase"),
    Figure("swd.clocks.fault", REFUSED_CLOCKS, "clocks", f"{_DAPLINK}: 8 + 1 + 3 + 1 without data phase"),
    Figure("swd.clocks.none", SILENT_CLOCKS, "clocks", f"{_DAPLINK}: the data phase is waited out, no idle cycles"),
    Figure("swd.clocks.idle", IDLE_CLOCKS, "clocks", f"{_PYOCD}, transfer_configure"),
    Figure("swd.wait_retries", WAIT_RETRIES, "transfers", f"{_PYOCD}, transfer_configure"),
    Figure("swd.hz_unless_set", DEFAULT_CLOCK_HZ, "Hz", "pyOCD 0.46, dap_access_cmsis_dap.py"),
    Figure("swd.block_extra", 1, "transfers", "DAPLink, DAP.c: a block is posted first or checked last, by RDBUFF"),
    Figure("usb.round_trip", USB_ROUND_TRIP_NS, "ns", "one microframe at high speed; no probe was measured", False),
    Figure("usb.packet", PACKET_BYTES, "bytes", f"{_DAP2}: bulk endpoints at high speed"),
    Figure("usb.packets_in_flight", PACKETS_IN_FLIGHT, "packets", "pyOCD option cmsis_dap.limit_packets"),
    Figure("usb.block_request", BLOCK_REQUEST_BYTES, "bytes", f"{_DAP2}, DAP_TransferBlock"),
    Figure("usb.block_answer", BLOCK_ANSWER_BYTES, "bytes", f"{_DAP2}, DAP_TransferBlock"),
    Figure("usb.transfer_header", TRANSFER_HEADER_BYTES, "bytes", f"{_DAP2}, DAP_Transfer, both ways"),
    Figure("usb.transfers_max", MAX_TRANSFERS, "transfers", f"{_DAP2}, DAP_Transfer: one byte"),
    Figure("usb.connect", CONNECT_PACKETS, "packets", "pyOCD 0.46, dap_access_cmsis_dap.py, connect"),
    Figure("usb.disconnect", DISCONNECT_PACKETS, "packets", "pyOCD 0.46, dap_access_cmsis_dap.py, disconnect"),
    Figure(
        "board.settle", SETTLE_NS, "ns", "the model: a board comes to rest before a debugger's first transfer", False
    ),
    Figure(
        "board.poll_skip", POLL_SKIP_NS, "ns", "the model: so much may pass when a debugger polls a busy core", False
    ),
    Figure("core.clocks_per_instruction", 1, "clocks", "the model: no pipeline, no wait states", False),
)


def table(chip: Chip) -> tuple[Figure, ...]:
    """All figures of the model for this chip: the probe's, its flash's, and what else its parts have in ns and Hz."""
    source = f"profile of the {chip.name}, which names its source; typical, no chip was measured"
    found = list(_PROBE)
    for field in fields(chip.flash_times):
        value = getattr(chip.flash_times, field.name)
        if value is not None:
            unit = "ns" if field.name.endswith("_ns") else "bytes"
            found.append(Figure(f"{chip.name}.flash.{field.name}", value, unit, source, False))
    for part in chip.parts:
        for name, value in sorted(part.settings.items()):
            if isinstance(value, int) and name.endswith(("_ns", "_hz")):
                unit = "ns" if name.endswith("_ns") else "Hz"
                found.append(Figure(f"{chip.name}.{part.name}.{name}", value, unit, source, False))
    return tuple(found)


def digest(chip: Chip) -> str:
    """Twelve hexadecimal digits that change when a figure of the model does (SHA-256 over ``name=value`` lines)."""
    lines = "".join(f"{one.name}={one.value}\n" for one in table(chip))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
