"""Why a pretrained model cannot be had: a clause for each case, none about sockets or patterns."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from sd_core.nn.hub import could_be_on_hub, why_absent

OUT_OF_REACH = LocalEntryNotFoundError("Got: ConnectError: [Errno -2] Name or service not known")


@pytest.mark.parametrize("typed", ["/nowhere/model", "./model", "~/model", "runs/models/sd3", "C:\\model"])
def test_a_path_is_a_folder_that_is_not_there(typed: str) -> None:
    assert why_absent(typed, OUT_OF_REACH) == "there is no such folder"


def test_what_may_be_a_hub_id_names_both() -> None:
    assert why_absent("models/tiny", OUT_OF_REACH) == "it is no folder here, and the hub cannot be reached"


def test_libraries_that_wrap_the_hubs_error_change_nothing() -> None:
    wrapped = OSError("We couldn't connect to the hub\nand more")
    wrapped.__cause__ = OUT_OF_REACH
    assert why_absent("owner/model", wrapped) == "it is no folder here, and the hub cannot be reached"


def test_other_failures_keep_their_first_line(tmp_path: Path) -> None:
    assert why_absent(str(tmp_path), ValueError("unknown kind.\nmore")) == "unknown kind"
    assert why_absent("owner/model", KeyError()) == "KeyError"


def test_a_folder_goes_first(tmp_path: Path) -> None:
    assert could_be_on_hub(str(tmp_path))
    assert could_be_on_hub("stabilityai/stable-diffusion-3.5-medium")
    assert not could_be_on_hub(str(tmp_path / "other"))
