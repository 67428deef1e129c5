"""The generated pages: complete, the same every time, and compared with what is committed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from sd_core.config import reference
from sd_core.config.schema import config_schema
from sd_core.config.sections import RunConfig
from sd_core.offers import NAMES
from sd_core.registry import Registry, discover

PAGES = ("config.md", "components.md", "config.schema.json")


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, toys: Registry) -> None:
    """Let the toys be all that we offer."""
    monkeypatch.setattr(reference, "NAMES", ("toys",))
    monkeypatch.setattr(reference, "discover", lambda: toys)


def test_every_key_of_every_table_is_on_the_page(ours: None, tmp_path: Path) -> None:
    assert reference.main([str(tmp_path)]) == 0
    page = (tmp_path / "config.md").read_text()
    for name, info in RunConfig.model_fields.items():
        assert f"## [{name}]\n" in page
        for key, field in getattr(info.annotation, "model_fields", {}).items():
            assert f"| `{key}` |" in page
            assert field.description, f"[{name}] {key} has no docstring"
    assert "## [model.lora]" in page
    assert page.index("| `cfg_dropout` |") > page.index("## [model.extras]")
    assert "| `gradient_clip_norm` | number (> 0), or `false` | `1.0` |" in page
    assert "| `guidance_interval` | [number (>= 0, <= 1), number (>= 0, <= 1)] | `[0.0, 1.0]` |" in page


def test_every_component_is_on_the_page_with_its_options(ours: None, tmp_path: Path) -> None:
    reference.main([str(tmp_path)])
    page = (tmp_path / "components.md").read_text()
    assert "### net\n\nA toy net (model of toys)." in page
    assert (
        '| `patch_size` | [whole number or `"all"`, whole number or `"all"`] | `[4, 4]` | Height and width. |' in page
    )
    assert "| `limit` | number, or `false` | `2.0` | Can be switched off. |" in page
    assert "| `source` | text | required | Folder of recordings. |" in page
    assert "| `mean` |" in page
    assert "prediction_type" not in page  # stands in [objective], on the other page


def test_check_says_which_page_is_stale(ours: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([str(tmp_path), "--check"]) == 1
    assert reference.main([str(tmp_path)]) == 0
    first = [(tmp_path / name).read_bytes() for name in PAGES]
    assert reference.main([str(tmp_path), "--check"]) == 0
    assert reference.main([str(tmp_path)]) == 0
    assert [(tmp_path / name).read_bytes() for name in PAGES] == first
    (tmp_path / "config.md").write_text("old")
    capsys.readouterr()
    assert reference.main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"stale: {tmp_path / 'config.md'}; run `make docs`\n"


def test_a_missing_package_of_ours_would_leave_holes(toys: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "discover", lambda: toys)
    assert reference.main(["nowhere"]) == 2


def test_the_schema_types_the_options_of_the_named_component(toys: Registry) -> None:
    schema = config_schema(toys)
    assert json.loads(json.dumps(schema)) == schema
    assert "cfg_dropout" not in schema["$defs"]["Model"]["properties"]
    assert "null" not in json.dumps([schema["$defs"]["Training"], schema["$defs"]["architectures.net"]])
    (rule,) = [rule for rule in schema["allOf"] if rule["if"] == {
        "properties": {"model": {"properties": {"name": {"const": "net"}}, "required": ["name"]}}, "required": ["model"]
    }]  # fmt: skip
    assert rule["then"] == {"properties": {"model": {"properties": {"extras": {"$ref": "#/$defs/architectures.net"}}}}}
    assert set(schema["$defs"]["architectures.net"]["properties"]) == {"depth", "patch_size", "limit", "cfg_dropout"}
    assert set(schema["$defs"]["samplers.heun"]["properties"]) == {"order"}


@pytest.mark.parametrize("distribution", NAMES)
def test_what_we_say_to_install_is_what_our_packages_offer(distribution: str) -> None:
    offered = {record.distribution: record.components for record in discover().plugins}
    if distribution not in offered:  # core can be tested alone; tests/test_pages.py wants them all
        pytest.skip(f"{distribution} is not installed")
    found = {kind: {offer.name for offer in offers} for kind, offers in offered[distribution].items() if offers}
    assert found == {kind: set(names) for kind, names in NAMES[distribution].items()}


def test_every_module_of_options_is_kept_free_of_torch() -> None:
    root = Path(__file__).parents[3] / "pyproject.toml"
    contracts = tomllib.loads(root.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["name"] == "what a plugin offers is read without torch"]
    ours = [record for record in discover().plugins if record.distribution in NAMES]
    offered = [component for record in ours for components in record.components.values() for component in components]
    assert {component.options.partition(":")[0] for component in offered} <= set(contract["source_modules"])
