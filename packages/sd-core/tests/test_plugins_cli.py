"""`sd-plugins`: the whole list, one plugin, one component, a broken one; fast and without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sd_core.cli import plugins
from sd_core.cli.errors import one_sentence
from sd_core.errors import SdError
from sd_core.registry import Registry

Install = Callable[..., Path]


def shown(*arguments: str) -> Result:
    return CliRunner().invoke(plugins.main, arguments)


@pytest.fixture
def only_toys(monkeypatch: pytest.MonkeyPatch, toys: Registry) -> None:
    """No plugin but the toys."""
    monkeypatch.setattr(plugins, "discover", lambda: toys)


def test_the_list_has_versions_kinds_names_and_summaries(only_toys: None) -> None:
    lines = [line.split() for line in shown().output.splitlines()]
    assert lines[0] == ["toys", "1.0"]
    assert ["model", "net", "A", "toy", "net"] in lines
    assert ["corpus", "demo", "A", "toy", "demo"] in lines


def test_a_kind_filters(only_toys: None) -> None:
    output = shown("--kind", "samplers").output
    assert "heun" in output
    assert "tensorboard" not in output
    assert shown("--kind", "surprises").exit_code == 2


def test_a_component_shows_its_options(only_toys: None) -> None:
    output = shown("net").output
    assert output.startswith("model net  A toy net\n")
    assert "  depth  whole number (>= 1); default 4\n      Blocks.\n" in re.sub(r" +\n", "\n", output)
    assert "no options" in shown("demo").output
    both = shown("none").output
    assert "conditioning none" in both
    assert "codec none" in both
    assert "codec none" not in shown("none", "--kind", "conditioners").output
    assert shown("toys:net").output == output


def test_an_unknown_name_is_one_sentence(only_toys: None) -> None:
    result = shown("nett")
    assert result.exit_code == 2
    assert result.stderr == "Error: no plugin and no component is called 'nett'; did you mean 'net'?\n"
    assert "`sd-plugins` lists what there is" in shown("zzzzzz").stderr


def test_a_broken_plugin_is_listed_with_its_cause(install: Install) -> None:
    install("acme-broken", "import no_such_module_here")
    result = shown()
    assert result.exit_code == 0
    assert "acme-broken 1.0 cannot be imported: ModuleNotFoundError" in " ".join(result.output.split())
    assert "heun" in result.output
    assert shown("acme-broken").output.startswith("acme-broken 1.0 cannot be imported")


@pytest.mark.parametrize(("command", "arguments"), [("plugins", []), ("train", ["--help"]), ("sample", ["--help"])])
def test_what_only_talks_starts_fast_and_imports_nothing_heavy(command: str, arguments: list[str]) -> None:
    code = (
        "import sys, time\n"
        "from click.testing import CliRunner\n"
        f"from sd_core.cli.{command} import main\n"
        f"result = CliRunner().invoke(main, {arguments})\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'numpy', 'datasets', 'mne', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(time.process_time())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.35


def test_commands_tell_an_error_and_let_a_bug_through(capsys: pytest.CaptureFixture[str]) -> None:
    @one_sentence
    def command(error: Exception | None) -> int:
        """Fail as told."""
        if error:
            raise error
        return 3

    assert command(None) == 3
    assert command.__doc__ == "Fail as told."
    with pytest.raises(SystemExit) as caught:
        command(SdError("name another folder"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: name another folder\n"
    with pytest.raises(SystemExit):
        command(SdError("run.toml:1: this\nrun.toml:2: that"))
    assert capsys.readouterr().err == "Error:\nrun.toml:1: this\nrun.toml:2: that\n"
    with pytest.raises(KeyError):
        command(KeyError("a bug"))
