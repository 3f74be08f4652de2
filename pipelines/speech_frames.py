"""Sort the sounds of speech: ``python -m pipelines.speech_frames CONFIG [RECORDING.wav ...]``.

Every recording becomes a Parquet file of cepstral features (MFCC), a row for every hundredth of a
second, in the folder that CONFIG reads; then one mixture is fitted to the frames of all of them.
Without a recording two are spoken by a source and a filter: vowels, a hiss and silence, whose truth
is known and stands beside what was found. Debian's package alsa-utils has real ones, below
``/usr/share/sounds/alsa``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.fft import dct
from scipy.io import wavfile
from scipy.signal import lfilter, resample_poly

from dask_gmm.errors import InputDataError
from dask_gmm.run.config import load_config
from dask_gmm.run.exits import exit_code
from dask_gmm.run.job import run_configured

RATE = 16_000
#: A frame, the step to the next one, and the Fourier transform's length, in samples.
FRAME, STEP, FOURIER = 400, 160, 512
FILTERS, CEPSTRA = 26, 13
#: The first three formants of each vowel in Hz (Peterson and Barney's means for men).
VOWELS = {"a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240)}
SOUNDS = (*VOWELS, "s", "silence")
SEGMENTS = 120


def main(arguments: Sequence[str]) -> int:
    """Take the features of recordings and cluster them; return the exit code."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return exit_code(lambda: sort(*arguments))


def sort(path: str, *recordings: str) -> None:
    """Make the tables, fit one mixture, and print what every recording consists of."""
    config = load_config(path)
    folder = Path(str(config.source.path))
    folder.mkdir(parents=True, exist_ok=True)
    for recording in recordings:
        put_frames(folder / f"{Path(recording).stem}.parquet", read_recording(Path(recording)))
    for seed in () if recordings else (1, 2):
        put_frames(folder / f"spoken-{seed}.parquet", *speak(seed))
    outcome = run_configured(config)
    K = outcome.manifest["model"]["n_components"]
    for file in sorted((outcome.run_dir / "sounds").glob("*.parquet")):
        found = pq.read_table(file)
        labels = found["label"].to_numpy()
        shares = np.bincount(labels, minlength=K + 1)[1:] / max(len(labels), 1)
        print(
            f"{file.stem}: " + ", ".join(f"{k + 1}: {share:.0%}" for k, share in enumerate(shares))
        )
        truth = np.array(found["sound"].to_pylist())
        for sound in (sound for sound in SOUNDS if sound in truth):
            within = np.bincount(labels[truth == sound], minlength=K + 1)
            print(f"  {sound}: {within.max() / within.sum():.0%} in class {within.argmax()}")
    print(outcome.run_dir / "report.html")


def put_frames(path: Path, samples: np.ndarray, sounds: np.ndarray | None = None) -> None:
    """Write a recording's frames as a table: time, features, and the sound where it is known."""
    features = cepstra(samples)
    starts = STEP * np.arange(len(features))
    truth = [None] * len(features) if sounds is None else sounds[starts + FRAME // 2].tolist()
    columns = {"time": pa.array(starts / RATE)}
    columns |= {f"c{j}": pa.array(features[:, j]) for j in range(CEPSTRA)}
    table = pa.table({**columns, "sound": pa.array(truth, pa.string())})
    pq.write_table(table, path, write_page_checksum=True)


def cepstra(samples: np.ndarray) -> np.ndarray:
    """Return the mel-frequency cepstral coefficients of every frame.

    The logarithm of the power in bands that are as wide as the ear's, of which the cosine transform
    takes the correlations away: so a mixture with diagonal covariances describes them well.

    Parameters
    ----------
    samples : ndarray (T,)
        Sound pressure at `RATE`, in -1 to 1.

    Returns
    -------
    ndarray (frames, CEPSTRA)
        Where T is at least `FRAME`.
    """
    raised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(raised, FRAME)[::STEP] * np.hamming(FRAME)
    power = np.abs(np.fft.rfft(frames, FOURIER)) ** 2 / FOURIER
    bands = np.log(power @ mel_filters().T + 1e-10)
    return dct(bands, type=2, norm="ortho", axis=1)[:, :CEPSTRA]


def mel_filters() -> np.ndarray:
    """Return triangles over the spectrum, at equal steps of the mel scale: (FILTERS, bins)."""
    highest = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, FILTERS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(FOURIER, 1 / RATE)
    low, top, high = (corners[i : i + FILTERS, None] for i in range(3))
    return np.clip(np.minimum((hertz - low) / (top - low), (high - hertz) / (high - top)), 0, None)


def read_recording(path: Path) -> np.ndarray:
    """Read a WAV file as one channel at `RATE`.

    Raises
    ------
    InputDataError
        If it cannot be read, or is shorter than one frame.
    """
    try:
        rate, samples = wavfile.read(path)
    except (OSError, ValueError, EOFError, struct.error) as error:
        raise InputDataError(f"{path}: cannot be read as a WAV file: {error}") from error
    if samples.dtype.kind in "iu":
        middle = 128 if samples.dtype.kind == "u" else 0
        samples = (samples - float(middle)) / (np.iinfo(samples.dtype).max - middle)
    mono = samples.reshape(len(samples), -1).mean(axis=1)
    common = np.gcd(rate, RATE)
    mono = resample_poly(mono, RATE // common, rate // common)
    if len(mono) < FRAME:
        raise InputDataError(f"{path}: {len(mono) / RATE:.3f} s of sound; a frame is 0.025 s")
    return mono


def speak(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Speak sounds in random order; return samples, and the sound at each of them."""
    rng = np.random.default_rng(seed)
    order = rng.choice(SOUNDS, SEGMENTS)
    pieces = [utter(sound, int(rng.uniform(0.1, 0.3) * RATE), rng) for sound in order]
    quiet = 1e-4 * rng.normal(size=sum(map(len, pieces)))  # the room's noise lies under all of it
    return np.concatenate(pieces) + quiet, np.repeat(order, [len(piece) for piece in pieces])


def utter(sound: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n samples of a sound: pulses of a voice or noise, through resonances."""
    loudness = (
        0.1
        * rng.uniform(0.7, 1.3)
        * np.minimum(1, np.minimum(np.arange(n), n - np.arange(n)) / 160)
    )
    if sound == "silence":
        return np.zeros(n)
    if sound == "s":
        hiss = lfilter([1, -0.9], [1], lfilter([1, -0.9], [1], rng.normal(size=n)))
        return loudness * hiss / np.std(hiss)
    pitch = rng.uniform(95, 140) * (1 + 0.02 * np.sin(2 * np.pi * 5 * np.arange(n) / RATE))
    phase = np.cumsum(pitch / RATE)
    voice = lfilter([1], [1, -0.95], np.diff(np.floor(phase), prepend=0.0))
    for formant, width in zip(VOWELS[sound], (60, 90, 120), strict=True):
        radius = np.exp(-np.pi * width / RATE)
        angle = 2 * np.pi * formant * rng.normal(1, 0.03) / RATE
        voice = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], voice)
    return loudness * voice / np.std(voice)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
