"""Records to make reports of: one of each verdict, and one whose every text is hostile."""

import hashlib
from typing import Any

from lorafab.domain.record import (
    KeyRecord,
    MeasurementRecord,
    PermitRecord,
    PictureRecord,
    RunRecord,
    StepRecord,
)

# A 1 x 1 PNG.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)

HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\x00\x1b[31m\u202etxt.exe\r\n</style></details>"
)


def measured(
    name: str,
    unit: str,
    value: float | int | str | bool | None,
    outcome: str = "pass",
    *,
    low: float | None = None,
    high: float | None = None,
    equals: str | float | None = None,
    why: str = "",
) -> MeasurementRecord:
    return MeasurementRecord.model_validate(
        {"name": name, "unit": unit, "low": low, "high": high, "equals": equals, "value": value, "outcome": outcome}
        | {"why": why}
    )


def step(test: str, title: str, outcome: str = "pass", *measurements: MeasurementRecord, **more: Any) -> StepRecord:
    fields = {"seconds": 0.0 if outcome == "not run" else 0.31, "sentence": "", "code": ""} | more
    return StepRecord.model_validate(
        {"test": test, "title": title, "outcome": outcome, "measurements": measurements} | fields
    )


def good_steps() -> tuple[StepRecord, ...]:
    return (
        step("test_10_label::test_label", "Label read, in the lot, and free in the ledger", seconds=0.0412),
        step(
            "test_20_connect::test_chip",
            "The chip is the one that the product wants",
            "pass",
            measured("device id", "", "0x497", equals="0x497"),
            measured("flash size", "KiB", 256, low=256, high=256),
            seconds=0.22,
        ),
        step(
            "test_30_flash::test_flash",
            "Firmware and identity written, read back and compared",
            "pass",
            measured("write rate", "kB/s", 212.43, low=100, why="half of what station A reaches at 4 MHz"),
            measured("bytes differing", "", 0, high=0),
            seconds=3.914,
        ),
        step(
            "test_40_console::test_shell",
            "The shell answers with the identity that was written",
            "pass",
            measured("reply", "ms", 4.1, high=500),
            measured("firmware", "", "1.4.2+g3f2a91c", equals="1.4.2+g3f2a91c"),
            seconds=0.61,
        ),
        step(
            "test_50_clock::test_crystal",
            "Crystal: frequency error",
            "pass",
            measured("f_err", "ppm", 1.9312, low=-10, high=10, why="TS001 receive windows need 20 ppm; half is kept"),
            measured("f_rf", "Hz", 868100142.5, low=868_091_419, high=868_108_681),
            seconds=1.05,
        ),
        step(
            "test_60_sleep::test_sleep_current",
            "Sleep current, 5 s mean",
            "pass",
            measured("I_sleep", "uA", 1.62, low=0.5, high=3, why="MCU stop mode 1.0 and radio sleep 0.6, data sheets"),
            seconds=5.2,
        ),
        step(
            "test_70_tx::test_power",
            "Radio: conducted power, three channels",
            "pass",
            measured("P 868.1", "dBm", 13.84, low=12.5, high=15),
            measured("P 868.3", "dBm", 13.79, low=12.5, high=15),
            measured("P 868.5", "dBm", 12.66, "marginal", low=12.5, high=15, why="14 dBm EIRP less 1.5 dB of the jig"),
            seconds=0.9,
        ),
        step(
            "test_80_join::test_join",
            "OTAA join with the injected key",
            "pass",
            measured("join", "s", 6.12, high=12),
            measured("RSSI", "dBm", -51, low=-58, high=-44),
            measured("SNR", "dB", 9.2, low=5),
            seconds=6.4,
        ),
    )


def passed(**changes: Any) -> RunRecord:
    """A board whose eight steps passed, one value close to its limit, at the third attempt."""
    fields: dict[str, Any] = {
        "run": "01JD5Y2M7Q8ZK3W4",
        "start": "2026-11-20T10:01:53.120Z",
        "end": "2026-11-20T10:02:13.480Z",
        "station": "A",
        "site": "3",
        "operator": "op-017",
        "lot": "PO-2026-1147",
        "product": "endnode-wle5",
        "attempt": 3,
        "label": "LW:D0:70B3D57ED0001234:70B3D57ED00004D2:00B60123:SSN00001234:PLN-100",
        "serial": "SN00001234",
        "dev_eui": "70B3D57ED00004D2",
        "join_eui": "70B3D57ED0001234",
        "chip_id": "0080E115003A5B21",
        "keys": KeyRecord(generation=2, kcv_app="182F0634F2348DD2", kcv_nwk=None, evidence="read back"),
        "picture": PictureRecord(
            file="01JD5Y2M7Q8ZK3W4.png", sha256=hashlib.sha256(PICTURE).hexdigest(), reader="zxing-cpp"
        ),
        "image_file": "firmware.hex",
        "image_version": "1.4.2+g3f2a91c",
        "image_sha256": "9d4c1b" + "0" * 54 + "77aa",
        "plan_sha256": "a1" * 32,
        "config_sha256": "b2" * 32,
        "lorafab_version": "0.1.0",
        "lorafab_commit": "c0ffee5",
        "steps": good_steps(),
        "transcript": (
            "> id",
            "< deveui=70B3D57ED00004D2",
            "< kcv_app=182F0634F2348DD2",
            "> join",
            "< joined in 6120 ms",
        ),
        "permits": (),
        "verdict": "PASS",
        "code": "",
        "cause": "",
        "ledger_head": "e5" * 32,
        "report_file": "01JD5Y2M7Q8ZK3W4.html",
    }
    return RunRecord.model_validate(fields | changes)


def failed(**changes: Any) -> RunRecord:
    """The sleep current lies above its limit; what came after did not run."""
    steps = list(good_steps())
    sentence = "I_sleep is 4.87 uA, wanted 0.5 … 3 uA"
    current = measured("I_sleep", "uA", 4.87, "fail", low=0.5, high=3, why="MCU stop mode 1.0 and radio sleep 0.6")
    steps[4] = step(
        "test_50_clock::test_crystal",
        "Crystal: frequency error",
        "pass",
        measured("f_err", "ppm", 9.7, "marginal", low=-10, high=10, why="TS001 receive windows need 20 ppm"),
        seconds=1.05,
    )
    steps[5] = step(
        "test_60_sleep::test_sleep_current", "Sleep current, 5 s mean", "fail", current, seconds=5.2
    ).model_copy(update={"sentence": sentence, "code": "MEAS"})
    steps[6:] = [s.model_copy(update={"outcome": "not run", "seconds": 0.0, "measurements": ()}) for s in steps[6:]]
    fields = {"verdict": "FAIL", "code": "MEAS", "cause": sentence, "steps": tuple(steps), "attempt": 1} | {
        "permits": (PermitRecord(name="overwrite-identity", reason="rework order 4711", used=True),),
        "transcript": ("> sleep", "< [  9.120] pm: enter STOP2", "< [  9.121] pm: WARN PA4 left as output\x1b[0m"),
    }
    return passed(**(fields | changes))


def errored(**changes: Any) -> RunRecord:
    """The probe went away; the board was never named by more than its label."""
    sentence = "the probe 066BFF34 does not answer any more; plug it in again and repeat the run"
    steps = [good_steps()[0], step("test_20_connect::test_chip", "The chip is the one that the product wants", "error")]
    steps[1] = steps[1].model_copy(update={"sentence": sentence, "code": "PROBE"})
    steps += [s.model_copy(update={"outcome": "not run", "seconds": 0.0, "measurements": ()}) for s in good_steps()[2:]]
    fields = {"verdict": "ERROR", "code": "PROBE", "cause": sentence, "steps": tuple(steps), "attempt": 2} | {
        "chip_id": None,
        "keys": None,
        "transcript": (),
        "picture": None,
    }
    return passed(**(fields | changes))


def interrupted(**changes: Any) -> RunRecord:
    """Found at the next start: nobody wrote an end."""
    steps = good_steps()
    rest = [s.model_copy(update={"outcome": "not run", "seconds": 0.0, "measurements": ()}) for s in steps[3:]]
    fields = {"verdict": "INTERRUPTED", "code": "KILLED", "end": "", "steps": (*steps[:3], *rest), "attempt": 1} | {
        "cause": "the run ended without a record (power cut or kill); its journal was found by the next start",
        "ledger_head": None,
        "report_file": None,
    }
    return passed(**(fields | changes))
