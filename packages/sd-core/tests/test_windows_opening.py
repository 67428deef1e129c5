"""Datasets that others made train as they are; what cannot is refused by a sentence."""

from __future__ import annotations

import io
import logging
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pictures

from sd_core.plugin import SdError
from sd_core.testing.windows import write_miniature
from sd_core.windows.locate import locate
from sd_core.windows.opening import open_split
from sd_core.windows.reading import PictureSet, WindowSet

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 16, 12, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` converts goes to a folder of the test."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def imagefolder(root: Path, *, gray: bool = False) -> Path:
    for split, rows in (("train", range(4)), ("validation", range(4, 6))):
        (root / split).mkdir(parents=True)
        lines = ["file_name,gender,health,age,caption"]
        for row in rows:
            pixels = PIXELS[row, ..., 0] if gray else PIXELS[row]
            (root / split / f"{row}.png").write_bytes(png(pixels))
            lines.append(f"{row}.png,{'FM'[row % 2]},{'H' if row < 3 else 'PD'},{30 + row},picture {row}")
        (root / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def test_an_imagefolder_with_metadata_trains_as_it_is(tmp_path: Path) -> None:
    pictures = open_split(imagefolder(tmp_path / "old"), "train")
    assert isinstance(pictures, PictureSet)
    assert pictures.shape == (3, 16, 12)
    assert pictures.column_names == ("gender", "health", "age", "caption")
    order = [int(caption.split()[1]) for caption in pictures.column("caption")]
    np.testing.assert_array_equal(pictures.pictures([3, 0]), PIXELS[[order[3], order[0]]].transpose(0, 3, 1, 2))
    assert len(open_split(tmp_path / "old", "validation")) == 2


def test_a_moved_imagefolder_is_the_same_and_an_edited_one_is_not(tmp_path: Path) -> None:
    here = open_split(imagefolder(tmp_path / "old"), "train").fingerprint
    moved = (tmp_path / "old").rename(tmp_path / "elsewhere")
    assert open_split(moved, "train").fingerprint == here
    (moved / "train" / "2.png").write_bytes(png(255 - PIXELS[2]))
    assert open_split(moved, "train").fingerprint != here


def test_gray_pictures_have_one_channel(tmp_path: Path) -> None:
    pictures = open_split(imagefolder(tmp_path / "old", gray=True), "validation")
    assert isinstance(pictures, PictureSet)
    assert pictures.shape == (1, 16, 12)
    assert pictures.pictures([0]).flags.writeable


def test_parquet_with_an_image_column_trains_as_it_is(tmp_path: Path) -> None:
    cells = [{"bytes": png(pixels), "path": None} for pixels in PIXELS]
    features = Features(image=Image(), label=ClassLabel(names=["a", "b"]))
    (tmp_path / "data").mkdir()
    typed = Dataset.from_dict({"image": cells, "label": [0, 1] * 3}, features=features)
    typed.to_parquet(str(tmp_path / "data" / "train-00000-of-00001.parquet"))
    pictures = open_split(tmp_path, "train")
    assert isinstance(pictures, PictureSet)
    np.testing.assert_array_equal(pictures.pictures(range(6)), PIXELS.transpose(0, 3, 1, 2))
    assert pictures.column("label") == ["a", "b"] * 3


@pytest.mark.parametrize("kind", ["struct", "binary"])
def test_parquet_that_datasets_did_not_write_is_read_too(kind: str, tmp_path: Path) -> None:
    cells: list[Any] = [png(pixels) for pixels in PIXELS]
    if kind == "struct":
        cells = [{"bytes": cell, "path": None} for cell in cells]
    pq.write_table(pa.table({"image": cells}), tmp_path / "train.parquet")
    pictures = open_split(tmp_path, "train")
    assert isinstance(pictures, PictureSet)
    np.testing.assert_array_equal(pictures.pictures([5]), PIXELS[[5]].transpose(0, 3, 1, 2))


def test_parquet_with_a_signal_column_is_a_window_dataset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    signals = np.random.default_rng(0).standard_normal((5, 20, 64)).astype(np.float32)
    for split in ("train", "validation"):
        pq.write_table(pa.table({"signal": signals.tolist(), "label": [1] * 5}), tmp_path / f"{split}.parquet")
    with caplog.at_level(logging.WARNING):
        windows = open_split(tmp_path, "train")
        open_split(tmp_path, "validation")
    assert isinstance(windows, WindowSet)
    np.testing.assert_array_equal(windows.signals([4, 0]), signals[[4, 0]])
    assert windows.info.sfreq == 125
    assert windows.info.channel_names[:2] == ("ch01", "ch02")
    said = [record.message for record in caplog.records if record.name.startswith("sd_core")]
    assert len(said) == 2, "once each, not once per split"
    assert "125 Hz" in said[0]
    assert "ch01" in said[1]


def test_what_the_dataset_does_not_say_may_be_said(tmp_path: Path) -> None:
    pq.write_table(pa.table({"signal": np.zeros((2, 2, 8)).tolist()}), tmp_path / "train.parquet")
    windows = open_split(tmp_path / "train.parquet", "train", sfreq=200.0, channel_names=("Fz", "Cz"))
    assert isinstance(windows, WindowSet)
    assert (windows.info.sfreq, windows.info.channel_names) == (200, ("Fz", "Cz"))
    with pytest.raises(SdError, match="3 channel names are given for windows of 2 channels"):
        open_split(tmp_path / "train.parquet", "train", sfreq=200.0, channel_names=("a", "b", "c"))


def test_what_the_dataset_says_is_not_overruled(tmp_path: Path) -> None:
    path = write_miniature(tmp_path / "d")
    assert open_split(path, "train", sfreq=125.0, channel_names=("Fz", "Cz", "Pz", "A2-A1"))
    with pytest.raises(SdError, match=r"built at 125 Hz, but dataset.sfreq says 100"):
        open_split(path, "train", sfreq=100.0)
    with pytest.raises(SdError, match="has the electrodes Fz, Cz, Pz, A2-A1"):
        open_split(path, "train", channel_names=("A", "B", "C", "D"))


def two_splits(path: Path, first: list[str], second: list[str], corpus: tuple[str, str] = ("a", "a")) -> Path:
    def made(subjects: list[str], name: str) -> Dataset:
        columns = {"signal": [[[1.0, 2.0]]] * len(subjects), "subject": subjects, "corpus": [name] * len(subjects)}
        features = Features(signal=[[Value("float32")]], subject=Value("string"), corpus=Value("string"))
        return Dataset.from_dict(columns, features=features)

    DatasetDict({"train": made(first, corpus[0]), "validation": made(second, corpus[1])}).save_to_disk(str(path))
    return path


def test_a_subject_in_two_splits_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SdError, match=r"2 subjects stand in 'validation' and in another split \(s2, s3\)"):
        open_split(two_splits(tmp_path / "d", ["s1", "s2", "s3"], ["s3", "s2", "s4"]), "train")


def test_the_same_name_in_two_corpora_is_two_people(tmp_path: Path) -> None:
    assert open_split(two_splits(tmp_path / "d", ["s1", "s2"], ["s2"], ("a", "b")), "train")


def test_a_missing_split_an_empty_one_and_no_content_are_refused(tmp_path: Path) -> None:
    path = two_splits(tmp_path / "d", ["s1"], [])
    with pytest.raises(SdError, match=r"no split 'test'; its splits are: train, validation"):
        open_split(path, "test")
    with pytest.raises(SdError, match=r"the split 'validation' of .* is empty"):
        open_split(path, "validation")
    pq.write_table(pa.table({"eeg": [1.0]}), tmp_path / "train.parquet")
    with pytest.raises(SdError, match="neither a column 'signal' nor a column 'image'; its columns are: eeg"):
        open_split(tmp_path / "train.parquet", "train")


@pytest.mark.parametrize("what", ["parquet", "state", "windows.json", "empty", "arrow"])
def test_damaged_datasets_are_one_sentence(what: str, tmp_path: Path) -> None:
    path = write_miniature(tmp_path / "d")
    if what == "parquet":
        path = tmp_path / "train.parquet"
        path.write_bytes(b"PAR1 no more")
    elif what == "empty":
        path = tmp_path / "nothing"
        path.mkdir()
    else:
        place = {"state": "train/state.json", "arrow": "train/data-00000-of-00001.arrow"}.get(what, what)
        (path / place).write_bytes((path / place).read_bytes()[:100])
    with pytest.raises(SdError):
        open_split(path, "train")


def test_pictures_that_do_not_fit_are_named(tmp_path: Path) -> None:
    cells = [png(PIXELS[0]), png(PIXELS[1, :8]), b"no picture", None, png(PIXELS[0].astype(np.uint16)[..., 0] * 200)]
    pq.write_table(pa.table({"image": cells}), tmp_path / "train.parquet")
    pictures = open_split(tmp_path, "train")
    assert isinstance(pictures, PictureSet)
    for row, sentence in ((1, "picture 1 is 3x8x12, the first one 3x16x12"), (2, "picture 2 cannot be read"),
                          (3, "picture 3 is missing"), (4, "picture 4 is of kind I;16")):  # fmt: skip
        with pytest.raises(SdError, match=sentence):
            pictures.pictures([row])


def test_a_name_is_found_here_then_under_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "root" / "data").mkdir(parents=True)
    (tmp_path / "root" / "org" / "set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    root = str(tmp_path / "root")
    assert locate("data", root) == str(tmp_path / "here" / "data")
    assert locate("org/set", root) == str(tmp_path / "root" / "org" / "set")
    assert locate(str(tmp_path / "root"), "elsewhere") == root
    assert locate("org/other", root) == "org/other"
    with pytest.raises(SdError, match=r"sd-data build eegmat --source DIR -o datta.*--set dataset.name=demo"):
        locate("datta", root)


def test_a_hub_id_that_nobody_answers_for_names_the_ways_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(SdError, match=r"no dataset 'org/none'.*sd-data build.*--set dataset.name=demo") as refused:
        open_split("org/none", "train")
    assert "there is no such folder here or under the data root" in str(refused.value)
    assert "the hub cannot be reached" in str(refused.value)
    assert "urlopen" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "why"), [(401, "has none that you may read"), (404, "has none"), (500, "answers 500")]
)
def test_what_the_hub_says_of_a_name(code: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any, **_: object) -> None:
        raise HTTPError(request.full_url, code, "Oh", Message(), None)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(SdError, match=rf"no dataset 'data/norset': there is no such folder .*, and the hub {why}"):
        open_split("data/norset", "train")


def test_a_damaged_parquet_file_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "part.parquet").write_text("no")
    logging.getLogger("datasets").addHandler(shown := logging.StreamHandler())
    try:
        with pytest.raises(SdError, match=r"cannot be read: part.parquet: Parquet file size is 2 bytes"):
            open_split(tmp_path, "train")
    finally:
        logging.getLogger("datasets").removeHandler(shown)
    assert "Parquet" not in capsys.readouterr().err


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_of_datasets_is_not_taken_for_one(below: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_miniature(tmp_path / below / name)
    (tmp_path / below / "one").rename(tmp_path / below / ".one.building")
    with pytest.raises(SdError, match=r"not a dataset but a folder of datasets: name '.*two'$"):
        open_split(tmp_path, "train")
    write_miniature(tmp_path / below / "one")
    with pytest.raises(SdError, match=r"a folder of datasets: name '.*one' or '.*two'$"):
        open_split(tmp_path, "train")
    assert len(open_split(tmp_path / below / "two", "train")) == 12


def test_a_folder_of_recordings_is_sent_to_sd_data_build(tmp_path: Path) -> None:
    (tmp_path / "Subject00_1.edf").write_bytes(b"0       ")
    (tmp_path / "subject-info.csv").write_text("Subject,Age\nSubject00,21\n")
    with pytest.raises(SdError, match=r"holds recordings, not windows; build one from recordings with `sd-data build"):
        open_split(tmp_path, "train")
