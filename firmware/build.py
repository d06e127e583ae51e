"""Build every program under firmware/ and write down how: ``python firmware/build.py [--check]``.

Outputs are byte-identical on every machine and in every folder, because the compiler is pinned (the ziglang wheel
of the ``dev`` extra), runs in this folder with relative paths only, and the linker scripts drop debug sections.
``--check`` builds into a temporary folder and compares with what is committed; the exit status is 1 when something
differs or is missing, 0 otherwise.

Beside its outputs each target has a MANIFEST (YAML): sha256 of every output, sources, build line, tool versions.
"""

import argparse
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRMWARE = Path(__file__).resolve().parent
PROJECT = FIRMWARE.parent

# `-g` keeps the symbols that the flash algorithms' users need (zig strips without it); the debug sections themselves
# carry paths and are discarded by the linker scripts.
COMMON_FLAGS = (
    *("-std=c11", "-Os", "-g", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib", "-fno-sanitize=all", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--build-id=none", "-Wl,-z,max-page-size=4"),
)


class BuildError(Exception):
    """One sentence for the person at the keyboard."""


@dataclass(frozen=True)
class Target:
    """One program. Inputs are relative to firmware/, outputs to the project's root.

    ``sources`` (compiled) and ``headers`` (named in the MANIFEST) are globs.
    """

    name: str
    sources: tuple[str, ...]
    headers: tuple[str, ...]
    linker_script: str
    elf: str
    hex: str | None = None
    flags: tuple[str, ...] = ()
    cpu: str = "cortex_m4"
    """Without FPU."""
    manifest_name: str = "MANIFEST"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is committed, relative to the project's root."""
        return (self.elf,) if self.hex is None else (self.elf, self.hex)

    @property
    def manifest(self) -> str:
        """The MANIFEST beside the outputs, relative to the project's root."""
        return str(Path(self.elf).parent / self.manifest_name)


WLE5_HAL = tuple(f"endnode-wle5/hal/{name}.c" for name in ("hal_stm32wle5", "runtime_arm", "startup_stm32wle5"))


def _spi_memory(mcu: str) -> Target:
    """The RAM program that drives SPI memories behind the pins of a microcontroller."""
    return Target(
        name=f"spi-memory/{mcu}",
        sources=("spi-memory/memory.c", f"spi-memory/spi_{mcu}.c"),
        headers=("spi-memory/*.h",),
        linker_script="spi-memory/memory.ld",
        elf=f"lorafab/targets/spi-memory-{mcu}.elf",
        manifest_name=f"MANIFEST.spi-memory-{mcu}",
    )


def _endnode_spi(board: str, part: str) -> Target:
    """The reference firmware of a board, reading its identity from an SPI memory."""
    name = f"endnode-{board}-{part}"
    hal = {"wle5": WLE5_HAL, "nrf52": ("endnode-wle5/hal/runtime_arm.c", "endnode-nrf52/hal/*.c")}[board]
    return Target(
        name=name,
        sources=("endnode-wle5/src/*.c", *hal, f"endnode-{board}-nor/src/spi_memory.c"),
        headers=(
            *("endnode-wle5/src/*.h", "endnode-wle5/hal/*.h", "include/*.h", "endnode-wle5/sections.ld"),
            *("endnode-wle5-nor/src/*.h", f"endnode-{board}/product.h", f"{name}/product.h"),
        ),
        linker_script=f"endnode-{board}/endnode{'' if board == 'wle5' else '-' + board}.ld",
        elf=f"firmware/{name}/{name}.elf",
        hex=f"firmware/{name}/{name}.hex",
        flags=(
            *("-include", f"{name}/product.h", "-I", ".", "-I", "include"),
            *("-I", "endnode-wle5/hal", "-I", "endnode-wle5-nor/src"),
        ),
    )


def _modem(dialect: str) -> Target:
    """A modem on the STM32WLE5 that takes its identity by commands of this dialect."""
    name = f"modem-{dialect}"
    shared = ("main", "settings", "text", "join", f"dialect_{dialect}")
    return Target(
        name=name,
        sources=(
            *(f"modem/src/{source}.c" for source in shared),
            *("modem/port/*.c", "endnode-wle5/src/nvm.c", "endnode-wle5/src/reply.c"),
            *(source for source in WLE5_HAL if "startup" not in source),
        ),
        headers=(
            *("modem/src/*.h", "modem/port/*.h", f"{name}/product.h", "endnode-wle5/src/*.h", "endnode-wle5/hal/*.h"),
            *("include/*.h", "endnode-wle5/sections.ld"),
        ),
        linker_script="endnode-wle5/endnode.ld",
        elf=f"firmware/{name}/{name}.elf",
        hex=f"firmware/{name}/{name}.hex",
        flags=(
            *("-include", f"{name}/product.h", "-I", "include", "-I", "endnode-wle5/hal"),
            *("-I", "endnode-wle5/src", "-I", "modem/src", "-I", "modem/port"),
        ),
    )


def _endnode(name: str, hal: str, cpu: str = "cortex_m4") -> Target:
    """The reference end node of endnode-wle5 on another MCU; ``hal`` is the product whose folder has that MCU's HAL."""
    return Target(
        name=name,
        sources=("endnode-wle5/src/*.c", "endnode-wle5/hal/runtime_arm.c", f"{hal}/hal/*.c"),
        headers=(
            *("endnode-wle5/src/*.h", "endnode-wle5/hal/*.h", "include/*.h", "endnode-wle5/sections.ld"),
            f"{name}/product.h",
        ),
        linker_script=f"{hal}/{hal}.ld",
        elf=f"firmware/{name}/{name}.elf",
        hex=f"firmware/{name}/{name}.hex",
        flags=("-include", f"{name}/product.h", "-I", "include", "-I", "endnode-wle5/hal"),
        cpu=cpu,
    )


def _worker(mcu: str, family: str, checksum: str, cpu: str = "cortex_m4") -> Target:
    """A flash algorithm that computes checksums, too, for pyOCD and for the programmer's own sessions."""
    folder = "flash-algorithms"
    return Target(
        name=f"{folder}/{mcu}",
        sources=(f"{folder}/{family}/*.c", f"{folder}/worker/worker.c", f"{folder}/worker/{checksum}.c"),
        headers=(f"{folder}/{mcu}/*.h", f"{folder}/worker/*.h"),
        linker_script=f"{folder}/{family}/algorithm.ld",
        elf=f"lorafab/targets/{mcu}.elf",
        flags=("-I", f"{folder}/{mcu}", "-I", f"{folder}/worker"),
        cpu=cpu,
        manifest_name=f"MANIFEST.{mcu}",
    )


def _exerciser(mcu: str, cpu: str = "cortex_m4") -> Target:
    """The program that tests of the virtual silicon run."""
    shared = ("exerciser/exerciser.c", f"exerciser/chip_{mcu}.c")
    return Target(
        name=f"exerciser-{mcu}",
        sources=(*shared, "exerciser/stm32.c") if mcu.startswith("stm32") else shared,
        headers=("exerciser/*.h", "exerciser/sections.ld"),
        linker_script=f"exerciser/{mcu}.ld",
        elf=f"firmware/exerciser/exerciser-{mcu}.elf",
        flags=("-I", "exerciser", "-fno-builtin"),
        cpu=cpu,
        manifest_name=f"MANIFEST.{mcu}",
    )


TARGETS = (
    _worker("stm32wle5", "stm32l4-wl", "crc_unit"),
    _worker("stm32l476", "stm32l4-wl", "crc_unit"),
    _worker("stm32l072", "stm32l072", "crc_unit", cpu="cortex_m0plus"),
    _worker("nrf52840", "nrf52840", "crc_table"),
    Target(
        name="endnode-wle5",
        sources=("endnode-wle5/src/*.c", "endnode-wle5/hal/*.c"),
        headers=("endnode-wle5/src/*.h", "endnode-wle5/hal/*.h", "include/*.h", "endnode-wle5/sections.ld"),
        linker_script="endnode-wle5/endnode.ld",
        elf="firmware/endnode-wle5/endnode-wle5.elf",
        hex="firmware/endnode-wle5/endnode-wle5.hex",
        flags=("-I", "include", "-I", "endnode-wle5/hal"),
    ),
    Target(
        name="endnode-wle5-element",
        sources=(
            *(f"endnode-wle5/src/{name}.c" for name in ("aes128", "main", "nvm", "reply", "selftest", "shell")),
            *WLE5_HAL,
            "endnode-wle5-element/src/*.c",
        ),
        headers=(
            *("endnode-wle5/src/*.h", "endnode-wle5/hal/*.h", "include/*.h", "endnode-wle5/sections.ld"),
            *("endnode-wle5-element/src/*.h", "endnode-wle5-element/product.h"),
        ),
        linker_script="endnode-wle5/endnode.ld",
        elf="firmware/endnode-wle5-element/endnode-wle5-element.elf",
        hex="firmware/endnode-wle5-element/endnode-wle5-element.hex",
        flags=(
            *("-include", "endnode-wle5-element/product.h", "-I", "include", "-I", "endnode-wle5/hal"),
            *("-I", "endnode-wle5/src", "-I", "endnode-wle5-element/src"),
        ),
    ),
    Target(
        # With the example's identity: every board's own is compiled by the line (identity store `build`).
        name="endnode-wle5-build",
        sources=(
            *(f"endnode-wle5/src/{name}.c" for name in ("aes128", "main", "nvm", "reply", "selftest", "shell")),
            *WLE5_HAL,
            "endnode-wle5-build/src/*.c",
        ),
        headers=(
            "endnode-wle5/src/*.h",
            "endnode-wle5/hal/*.h",
            "endnode-wle5-build/example/*.h",
            "include/*.h",
            "endnode-wle5/sections.ld",
        ),
        linker_script="endnode-wle5/endnode.ld",
        elf="firmware/endnode-wle5-build/endnode-wle5-build.elf",
        hex="firmware/endnode-wle5-build/endnode-wle5-build.hex",
        flags=(
            *("-I", "include", "-I", "endnode-wle5/hal", "-I", "endnode-wle5/src"),
            *("-I", "endnode-wle5-build/example"),
        ),
    ),
    _endnode_spi("wle5", "nor"),
    _endnode_spi("wle5", "25aa"),
    _endnode_spi("nrf52", "nor"),
    Target(
        name="endnode-wle5-serial",
        sources=("endnode-wle5/src/*.c", *WLE5_HAL, "endnode-wle5-serial/src/*.c"),
        headers=(
            *("endnode-wle5/src/*.h", "endnode-wle5/hal/*.h", "include/*.h", "endnode-wle5/sections.ld"),
            *("endnode-wle5-serial/src/*.h", "endnode-wle5-serial/product.h"),
        ),
        linker_script="endnode-wle5/endnode.ld",
        elf="firmware/endnode-wle5-serial/endnode-wle5-serial.elf",
        hex="firmware/endnode-wle5-serial/endnode-wle5-serial.hex",
        flags=(
            *("-include", "endnode-wle5-serial/product.h", "-I", "include", "-I", "endnode-wle5/hal"),
            *("-I", "endnode-wle5/src", "-I", "endnode-wle5-serial/src"),
        ),
    ),
    *(_modem(dialect) for dialect in ("st", "rui3", "e5", "rn2483", "abz")),
    _spi_memory("stm32wle5"),
    _spi_memory("nrf52840"),
    _endnode("endnode-l072", hal="endnode-l072", cpu="cortex_m0plus"),
    _endnode("endnode-l072-eeprom", hal="endnode-l072", cpu="cortex_m0plus"),
    _endnode("endnode-nrf52", hal="endnode-nrf52"),
    _exerciser("stm32wle5"),
    _exerciser("stm32l072", cpu="cortex_m0plus"),
    _exerciser("stm32l476"),
    _exerciser("nrf52840"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build every program under firmware/.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, change nothing")
    parser.add_argument("names", nargs="*", metavar="TARGET", help="only these targets")
    options = parser.parse_args(arguments)
    try:
        for target in _chosen(options.names):
            _check(target) if options.check else _install(target)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _chosen(names: Sequence[str]) -> Sequence[Target]:
    known = {target.name: target for target in TARGETS}
    for name in names:
        if name not in known:
            raise BuildError(f"there is no target {name!r}, wanted one of {', '.join(known)}; correct the command")
    return [known[name] for name in names] or TARGETS


def _install(target: Target) -> None:
    build(target, PROJECT)
    print(f"built {', '.join(target.outputs)}")


def _check(target: Target) -> None:
    with tempfile.TemporaryDirectory(prefix="lorafab-build-") as folder:
        build(target, Path(folder))
        for output in (*target.outputs, target.manifest):
            committed, rebuilt = PROJECT / output, Path(folder) / output
            if not committed.is_file():
                raise BuildError(f"{output} is missing; run `python firmware/build.py` and commit what it writes")
            if committed.read_bytes() != rebuilt.read_bytes():
                raise BuildError(
                    f"{output} differs from what its sources give; run `python firmware/build.py` and commit the result"
                )
    print(f"{target.name}: as committed")


def build(target: Target, root: Path) -> None:
    """Build one target with its MANIFEST into ``root`` (laid out like the project). Raises BuildError."""
    elf = root / target.elf
    elf.parent.mkdir(parents=True, exist_ok=True)
    line = _build_line(target)
    # The output is named relatively while compiling (lld could record it), then moved to where it belongs.
    with tempfile.TemporaryDirectory(prefix="lorafab-cc-") as folder:
        made = Path(folder) / elf.name
        _run([*_compiler(), *line, "-o", str(made)])
        shutil.copyfile(made, elf)
    if target.hex is not None:
        _write_hex(elf, root / target.hex)
    (root / target.manifest).write_text(_manifest(target, root, line), encoding="utf-8")


def _compiler() -> list[str]:
    try:
        importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(
            "the C compiler is not installed, wanted the ziglang package of the dev extra; run "
            "`pip install -e .[dev]` and try again"
        ) from None
    return [sys.executable, "-m", "ziglang", "cc"]


def _matching(patterns: Sequence[str]) -> list[str]:
    # Sorted: the order of the objects decides the layout, and file systems list in any order.
    return sorted(path.relative_to(FIRMWARE).as_posix() for pattern in patterns for path in FIRMWARE.glob(pattern))


def _sources(target: Target) -> list[str]:
    found = _matching(target.sources)
    if not found:
        raise BuildError(f"no sources match {' '.join(target.sources)} under firmware/; restore them and try again")
    return found


def _build_line(target: Target) -> list[str]:
    machine = ("-target", "thumb-freestanding-eabi", f"-mcpu={target.cpu}")
    return [*machine, *COMMON_FLAGS, *target.flags, f"-Wl,-T,{target.linker_script}", *_sources(target)]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, cwd=FIRMWARE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"the compiler failed; correct what it says and try again:\n{done.stderr.strip()}")


def _write_hex(elf: Path, destination: Path) -> None:
    """Intel HEX of the loadable segments at their load (physical) addresses, LF line ends."""
    import intelhex
    from elftools.elf.elffile import ELFFile

    hexfile: Any = intelhex  # without annotations
    image = hexfile.IntelHex()
    with elf.open("rb") as stream:
        for segment in ELFFile(stream).iter_segments(type="PT_LOAD"):
            if segment["p_filesz"]:
                image.frombytes(segment.data(), offset=segment["p_paddr"])
    with destination.open("w", encoding="ascii", newline="\n") as out:
        image.write_hex_file(out, eolstyle="native", write_start_addr=False)


def _manifest(target: Target, root: Path, line: Sequence[str]) -> str:
    # The input files' hashes too: they tell which source a binary came from without running the compiler.
    inputs = [*_sources(target), *_matching(target.headers), target.linker_script]
    lines = [f"# Written by firmware/build.py for {target.name}; rebuild and compare: python firmware/build.py --check"]
    lines += ["outputs:", *(f"  {Path(out).name}: {{sha256: {_sha256(root / out)}}}" for out in target.outputs)]
    lines += ["sources:", *(f"  {source}: {{sha256: {_sha256(FIRMWARE / source)}}}" for source in inputs)]
    lines += [f'build: "cd firmware && python -m ziglang cc {" ".join(line)}"']
    # The compiler is the only tool that decides bytes; the HEX is a plain transcript of the ELF.
    lines += ["tools:", f'  ziglang: "{importlib.metadata.version("ziglang")}"']
    return "\n".join(lines) + "\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
