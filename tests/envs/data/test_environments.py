"""Environments by id and by saved specification; Gymnasium-Robotics is imported for its own environments alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest

from envs.data.environments import find_spec, import_packages, make
from envs.data.wrappers import stripped
from envs.errors import DataError
from envs.readers.load import load
from tests.helpers.logged import ragged, record_random, write
from tests.helpers.paths import ROOT


def output_of(code: str) -> tuple[str, str]:
    """Standard output and standard error of the Python program `code`."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes a package unimportable."""

    def hide(package: str) -> None:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_locomotion_does_not_import_gymnasium_robotics() -> None:
    code = "import sys; from envs.data.environments import find_spec, make; make(find_spec('Hopper-v5').to_json())"
    assert output_of(f"{code}; print('gymnasium_robotics' in sys.modules)")[0] == "False\n"


def test_the_notice_on_adroits_rewards_is_left_out() -> None:
    """The notice is in docs/data.md instead, so that the first line a user sees is the suite's."""
    code = "from envs.data.environments import find_spec; print(find_spec('AdroitHandDoor-v1').id)"
    assert output_of(code) == ("AdroitHandDoor-v1\n", "")
    assert output_of("import gymnasium_robotics")[1].startswith("AdroitHand")  # without the notice, the line above could not fail


def test_a_spec_is_a_copy() -> None:
    find_spec("Hopper-v5").kwargs["x"] = 1
    assert find_spec("Hopper-v5").kwargs == {}


def test_an_unregistered_environment_is_refused() -> None:
    with pytest.raises(DataError, match="environment 'Hoper-v5' is not registered: Environment `Hoper` doesn't exist"):
        find_spec("Hoper-v5")


def test_without_gymnasium_robotics_its_environments_name_the_extra(hide: Callable[[str], None]) -> None:
    spec = find_spec("FrankaKitchen-v1").to_json()
    hide("gymnasium_robotics")
    with pytest.raises(DataError, match=r"'FrankaKitchen-v1' .* run: pip install 'iwsft-bench\[robotics\]'"):
        import_packages(spec)
    assert make(gymnasium.spec("InvertedPendulum-v5").to_json()).spec.id == "InvertedPendulum-v5"


def test_a_data_set_of_gymnasium_robotics_names_the_extra(minari_root: Path, hide: Callable[[str], None]) -> None:
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=1, steps=3)
    hide("gymnasium_robotics")
    with pytest.raises(DataError, match=r"AdroitHandPen-v1.* run: pip install 'iwsft-bench\[robotics\]'"):
        load("hand/pen-v0")


def test_a_data_set_in_arrow_format_names_the_extra(minari_root: Path, hide: Callable[[str], None]) -> None:
    write("test/arrow-v0", ragged(0), data_format="arrow")
    hide("pyarrow")
    with pytest.raises(DataError, match=r"test/arrow-v0: its files are in arrow format; run: pip install 'iwsft-bench\[arrow\]'"):
        load("test/arrow-v0")


def test_no_window_opens_unless_the_caller_asks_for_it() -> None:
    """Gymnasium keeps the render_mode of recording in the specification."""
    found = find_spec("InvertedPendulum-v5")
    found.kwargs["render_mode"] = "human"
    with make(found.to_json()) as env:
        assert env.render_mode is None
    assert stripped("a/b-v0", found).spec.kwargs == {}
    with make(found.to_json(), render_mode="rgb_array") as env:
        assert env.render_mode == "rgb_array"
