"""firmware/build.py: committed binaries are what their sources give, wherever they are built."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ALGORITHM = "flash-algorithms/stm32wle5"

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the C compiler (dev extra) is not installed"
)


def load(script: Path) -> ModuleType:
    """Import a build script from wherever it lies."""
    spec = importlib.util.spec_from_file_location("lorafab_firmware_build", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> ModuleType:
    """The build script in a copy of the project that has only what the flash algorithm needs."""
    for part in ("firmware/build.py", "firmware/flash-algorithms", "lorafab/targets"):
        source, target = PROJECT / part, tmp_path / "elsewhere" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    return load(tmp_path / "elsewhere" / "firmware" / "build.py")


@needs_compiler
def test_what_is_committed_is_what_the_sources_give(capsys: pytest.CaptureFixture[str]) -> None:
    """The flash algorithm in the package can be rebuilt bit by bit."""
    status = load(PROJECT / "firmware" / "build.py").main(["--check", ALGORITHM])
    assert status == 0, capsys.readouterr().err


@needs_compiler
def test_the_folder_does_not_matter(copy: ModuleType) -> None:
    """Another checkout gives the same bytes, MANIFEST included."""
    (copy.PROJECT / "lorafab/targets/stm32wle5.elf").unlink()
    (copy.PROJECT / "lorafab/targets/MANIFEST.stm32wle5").unlink()
    assert copy.main([ALGORITHM]) == 0
    for name in ("stm32wle5.elf", "MANIFEST.stm32wle5"):
        built, committed = (root / "lorafab/targets" / name for root in (copy.PROJECT, PROJECT))
        assert built.read_bytes() == committed.read_bytes()


@needs_compiler
@pytest.mark.parametrize("name", ["stm32wle5.elf", "MANIFEST.stm32wle5"])
def test_a_changed_file_is_named(copy: ModuleType, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """--check says which file differs, and changes nothing."""
    path = copy.PROJECT / "lorafab/targets" / name
    changed = path.read_bytes() + b"\n"
    path.write_bytes(changed)
    assert copy.main(["--check", ALGORITHM]) == 1
    assert f"lorafab/targets/{name} differs" in capsys.readouterr().err
    assert path.read_bytes() == changed


@needs_compiler
def test_a_missing_file_is_named(copy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A binary that was never committed is not overlooked."""
    (copy.PROJECT / "lorafab/targets/stm32wle5.elf").unlink()
    assert copy.main(["--check", ALGORITHM]) == 1
    assert "stm32wle5.elf is missing" in capsys.readouterr().err


@needs_compiler
def test_a_compile_error_is_shown(copy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """What the compiler says is passed on."""
    (copy.FIRMWARE / ALGORITHM / "chip.h").write_text("not C\n")
    assert copy.main([ALGORITHM]) == 1
    assert "the compiler failed" in capsys.readouterr().err


def test_without_the_compiler_it_says_what_to_install(
    copy: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users without the dev extra get a sentence."""

    def missing(name: str) -> str:
        raise copy.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(copy.importlib.metadata, "version", missing)
    assert copy.main([ALGORITHM]) == 1
    assert "pip install -e .[dev]" in capsys.readouterr().err


def test_an_unknown_target_lists_the_known_ones(copy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name is not silently nothing."""
    assert copy.main(["flash-algorithm"]) == 1
    assert "endnode-wle5" in capsys.readouterr().err
