"""Published recordings, fetched from where they are published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import Progress

from sd_core.plugin import SdError

_SUMS = "SHA256SUMS.txt"
_SUM = re.compile(r"([0-9a-f]{64})\s+\*?(\S.*)")
_TRIES = 3


@dataclass(frozen=True)
class Download:
    """A published folder with a list of checksums in it."""

    url: str
    files: re.Pattern[str]
    """Those that are needed; plain names only, for the list is somebody else's."""
    licence: str


DOWNLOADS = {
    "eegmat": Download(
        url="https://physionet.org/files/eegmat/1.0.0/",
        files=re.compile(r"Subject\d{2}_[12]\.edf|subject-info\.csv|LICENSE\.txt"),
        licence="ODC-By 1.0; cite Zyma et al. 2019, doi:10.3390/data4010014, and PhysioNet (Goldberger et al. 2000)",
    )
}
"""Corpus -> where it is."""


def download(corpus: str, out: Path, url: str | None = None) -> Path:
    """Fetch a corpus into a folder; files that are there and whole are not fetched again.

    The checksums are those that the server publishes beside the files, so they catch what breaks on the way,
    not a server that lies.

    Args:
        corpus: One of `DOWNLOADS`.
        out: The folder, made where it is not there.
        url: A mirror, in the layout of the original.

    Returns:
        The folder.

    Raises:
        SdError: nobody publishes it, the server cannot be reached, or a file does not arrive whole.
    """
    if corpus not in DOWNLOADS:
        raise SdError(f"corpus '{corpus}' cannot be downloaded; these can: {', '.join(DOWNLOADS)}")
    published = DOWNLOADS[corpus]
    base = (url or published.url).rstrip("/") + "/"
    sums = _checksums(base, published)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SdError(f"'{out}' cannot be made: {error.strerror}") from error
    shop = pooch.create(path=out, base_url=base, registry=sums, retry_if_failed=_TRIES - 1)
    pooch.get_logger().setLevel("WARNING")
    console = Console(stderr=True)
    console.print(f"{corpus}: {len(sums)} files from {base} ({published.licence})", soft_wrap=True, highlight=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(corpus, total=len(sums))
        for name in sorted(sums):
            _fetch(shop, name)
            progress.advance(task)
    return out


def _checksums(base: str, published: Download) -> dict[str, str]:
    """File -> "sha256:...", of the files that are needed."""
    try:
        answer = requests.get(base + _SUMS, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise SdError(f"the list of files at {base + _SUMS} cannot be read: {_reason(error)}") from error
    found = (match for line in answer.text.splitlines() if (match := _SUM.fullmatch(line.strip())))
    sums = {match[2]: f"sha256:{match[1]}" for match in found if published.files.fullmatch(match[2])}
    if not sums:
        raise SdError(f"{base + _SUMS} names none of the files that are needed: is it a mirror of {published.url}?")
    return sums


def _fetch(shop: pooch.Pooch, name: str) -> None:
    try:
        shop.fetch(name)
    except (requests.RequestException, OSError, ValueError) as error:
        raise SdError(
            f"'{name}' could not be fetched from {shop.base_url}: {_reason(error)}; run the command again, it goes on "
            "where it was"
        ) from error


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    if isinstance(error, ValueError):  # of pooch, about the hash
        return "it arrived damaged"
    return (str(error).splitlines() or [type(error).__name__])[0]
