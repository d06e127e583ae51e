"""A fault plan as text: one line, or a YAML file, read strictly.

Line: items ``name=value@trigger:number`` separated by ``;``, each without the parts that it does not take. Numbers are
decimal or ``0x`` hexadecimal, and counts begin with 1. ``*K`` behind the trigger: K times from then on; ``+``: from
then on always. Without a trigger a fault is there from the beginning and stays.

=======================  ===============================================  =============================================
item                     trigger                                          meaning
=======================  ===============================================  =============================================
unplug                   optional: any                                    the probe is gone
wait, no_ack, parity     optional: transfer, time; once, ``*K``, ``+``    the debug port answers so
dpidr=V                  none                                             the debug port's DPIDR reads V
idcode=V                 none                                             the device id register reads V
flash_size=K             none                                             the flash size register reads K KiB
stuck_bit=A.B=L          none; may be repeated                            bit B of the byte at A always reads L
slow_erase=F             none                                             erasing takes F times as long (1 to 100000)
wrp=N or wrp=N-M         none; may be repeated                            flash pages N to M are write-protected
rdp=L                    none                                             read-out protection level L (0, 1, 2)
key_lock                 none                                             the flash refuses its unlock keys
power_cut                any                                              the supply fails; a word is torn
lockup                   any                                              the core locks up
hang                     any                                              the firmware goes on in an endless loop
swap                     any                                              another board lies in the nest
jig=empty, jig=open      none                                             nest empty, lid open
uart=silent              optional: byte, host_byte, time; ``*K``          bytes are lost
uart=drop                byte, host_byte, time; once, ``*K``, ``+``       a byte is lost
uart=garbage             optional: byte, host_byte, time; ``*K``          every byte is damaged
uart=noisy               optional: byte, host_byte, time; ``*K``          one byte of eight has a wrong bit
baud=V                   none                                             the board's real baud rate is V
seed=N                   none                                             other noise of the same kind
unplug_after=N           (short for ``unplug@transfer:N+1``)              the probe is gone after N transfers
power_cut_at=A           (short for ``power_cut@address:A``)              the supply fails in the word at A
=======================  ===============================================  =============================================

Triggers: ``transfer:N`` of the probe, ``word:N`` programmed, ``address:A`` programmed, ``byte:N`` from the board,
``host_byte:N`` to the board, ``instruction:N`` of the core, ``time:T`` of the board's clock (``250ms``; s, ms, us, ns),
``power_on:N``.

File: the same words, each part under its own key::

    seed: 7
    faults:
      - {fault: unplug, at: {transfer: 1500}}
      - {fault: wait, at: {time: 120ms}, times: 200}     # or times: forever
      - {fault: stuck_bit, value: 0x08000003.5=0}
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lorafab.config.yaml_map import KeyPath, YamlMap, load_yaml
from lorafab.errors import ConfigError
from lorafab.virtual.faults.kinds import KINDS, SHORT, Fault
from lorafab.virtual.faults.when import FOREVER, MAX_SEED, When, whole

T = TypeVar("T")
_TRIGGER = re.compile(r"([a-z_]+) *: *([0-9A-Za-z_.]+) *(?:(\+)|\* *([0-9]{1,9}))?")
_PREFIX = "fault plan: "


def read(text: str) -> tuple[tuple[Fault, ...], int]:
    """Faults and seed of a plan in one line; raises ConfigError."""
    faults, seed = list[Fault](), None
    for item in filter(None, map(str.strip, text.split(";"))):
        head, at_sign, trigger = (part.strip() for part in item.partition("@"))
        name, _, value = (part.strip() for part in head.partition("="))
        if name == "seed" and not at_sign:
            if seed is not None:
                raise ConfigError("fault plan: 'seed' is given twice; give it once")
            seed = _seed(value)
        elif name in SHORT and not at_sign:
            faults.append(SHORT[name](value))
        else:
            faults.append(_fault(name, value, _trigger(trigger) if at_sign else None, item))
    return tuple(faults), seed or 0


def _fault(name: str, value: str, at: When | None, item: str) -> Fault:
    if name not in KINDS:
        known = ", ".join(sorted([*KINDS, *SHORT, "seed"]))
        raise ConfigError(f"fault plan: {item!r} is not name=value with a known name; use one of: {known}")
    kind = KINDS[name]
    if not value and "=" in kind.example:
        raise ConfigError(f"fault plan: {item!r} is not name=value; write for example {kind.example}")
    return kind.read(value, at)


def _trigger(text: str) -> When:
    found = _TRIGGER.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"fault plan: {text!r} is not trigger:number; write for example transfer:1500, byte:12*3 or time:250ms"
        )
    times = FOREVER if found[3] else int(found[4]) if found[4] else None
    return When.read(found[1], found[2], times)


def _seed(value: str) -> int:
    seed = whole(value)
    if seed is None or seed > MAX_SEED:
        raise ConfigError(f"fault plan: seed={value!r} is not a number from 0 to {MAX_SEED}; correct the value")
    return seed


def read_file(name: str) -> tuple[tuple[Fault, ...], int]:
    """Faults and seed of a plan in a YAML file; raises ConfigError with file and line."""
    if not name or "\0" in name:
        raise ConfigError(f"fault plan: {name!r} is no file name; name a YAML file behind the @")
    file = load_yaml(Path(name), name)
    _keys(file, (), file.data, {"faults", "seed"})
    entries = file.data.get("faults", ())
    if not isinstance(entries, tuple):
        raise ConfigError(f"{file.at(('faults',))}: `faults` is no list; begin each fault with `- `")
    faults = tuple(_entry(file, ("faults", number), entry) for number, entry in enumerate(entries))
    return faults, _placed(file, ("seed",), lambda: _seed(_word(file.data["seed"]))) if "seed" in file.data else 0


def _entry(file: YamlMap, path: KeyPath, entry: Any) -> Fault:
    if not isinstance(entry, Mapping) or "fault" not in entry:
        raise ConfigError(f"{file.at(path)}: this is no fault; write for example `- {{fault: uart, value: silent}}`")
    _keys(file, path, entry, {"fault", "value", "at", "times"})

    def made() -> Fault:
        at = _at(entry["at"], entry.get("times")) if "at" in entry else None
        if at is None and "times" in entry:
            raise ConfigError("`times` needs `at`; write for example `at: {transfer: 1500}`")
        name = _word(entry["fault"])
        fault = _fault(name, _word(entry["value"]) if "value" in entry else "", at, name)
        return replace(fault, place=file.at(path))

    return _placed(file, path, made)


def _at(at: Any, times: Any) -> When:
    if not isinstance(at, Mapping) or len(at) != 1:
        raise ConfigError("`at` is not one trigger; write for example `at: {transfer: 1500}`")
    if times is not None and times != "forever" and type(times) is not int:
        raise ConfigError(f"`times` is {times!r}, wanted a number or forever; correct it")
    ((unit, number),) = at.items()
    return When.read(str(unit), _word(number), FOREVER if times == "forever" else times)


def _word(value: Any) -> str:
    if type(value) not in (int, str):
        raise ConfigError(f"{value!r} is neither a word nor a whole number; put it into quotes if it is text")
    return str(value)


def _keys(file: YamlMap, path: KeyPath, found: Mapping[str, Any], known: set[str]) -> None:
    for key in found:
        if key not in known:
            raise ConfigError(
                f"{file.at((*path, key))}: the key {key!r} is not known; use one of: {', '.join(sorted(known))}"
            )


def _placed(file: YamlMap, path: KeyPath, action: Callable[[], T]) -> T:
    """Say refusals with file and line."""
    try:
        return action()
    except ConfigError as error:
        raise ConfigError(f"{file.at(path)}: {str(error).removeprefix(_PREFIX)}") from None
