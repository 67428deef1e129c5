"""What MNE lets pass in EDF and BDF files: missing bytes, and electrodes at several rates."""

from __future__ import annotations

from pathlib import Path

from sd_core.plugin import SdError
from sd_data.build.electrodes import is_scalp

WIDTHS = {".edf": 2, ".bdf": 3}
"""Bytes of a sample, by suffix."""


def refuse_damaged(path: Path) -> None:
    """Compare the size of a file with what its header promises (MNE reads what is left), and the electrodes' rates.

    MNE brings all channels of a file to the highest rate by interpolation; that is fine for a slow
    respiration belt, and not for electrodes.

    Raises:
        SdError: bytes are missing, or electrodes were recorded at several rates.
    """
    with path.open("rb") as file:
        header = file.read(256)
        if len(header) < 256:
            raise SdError(f"'{path}' is cut short: it ends inside its header")
        header_bytes, records, channels = int(header[184:192]), int(header[236:244]), int(header[252:256])
        labels = file.read(16 * channels)
        # Samples per record stand behind 216 bytes of other fields of every channel (EDF, Kemp 1992).
        file.seek(256 + 216 * channels)
        fields = file.read(8 * channels)
    samples = [int(fields[8 * i : 8 * i + 8] or 0) for i in range(channels)]
    promised, there = header_bytes + records * sum(samples) * WIDTHS[path.suffix.lower()], path.stat().st_size
    if records >= 0 and there < promised:  # -1: a recording that was never closed
        raise SdError(f"'{path}' is cut short: {there} bytes of {promised}; get the file again")
    names = [labels[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(channels)]
    _refuse_mixed_rates(path, names, samples, float(header[244:252]))


def _refuse_mixed_rates(path: Path, names: list[str], samples: list[int], record_s: float) -> None:
    if record_s <= 0:  # an EDF+ file of annotations alone
        return
    rates = {count / record_s: name for name, count in zip(names, samples, strict=True) if is_scalp(name)}
    if len(rates) > 1:
        listed = ", ".join(f"{name} at {rate:g} Hz" for rate, name in sorted(rates.items()))
        raise SdError(f"'{path}' mixes rates of electrodes ({listed}): resample it to one rate, or leave it out")
