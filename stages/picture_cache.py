"""Pictures decoded before, by the hash of their file and of the form asked for.

A cache decides no result: an entry holds exactly what decoding would give, and a broken one is as none.
"""

import hashlib
import json
import os
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import PIL
import simplejpeg  # type: ignore[import-untyped]

from stages.decoding import Decoded, Form

LAYOUT = 3  # of an entry: a line of JSON, the pixels, a seal; raised with it, and where decoding changes
SEAL = 32  # bytes: SHA-256 of the line and of the pixels' own, which whoever packs them needs anyway


def cache_key(content: bytes, form: Form, crop: tuple[int, int, int, int] | None) -> str:
    """One for each outcome: file, form, part and the libraries that decode."""
    digest = _asked(form, crop).copy()
    digest.update(content)
    return digest.hexdigest()


@lru_cache(maxsize=8)  # mostly the same for all pictures
def _asked(form: Form, crop: tuple[int, int, int, int] | None) -> "hashlib._Hash":
    told = asdict(form) | {"refused": sorted(form.refused), "kept": sorted(form.kept), "crop": crop}
    told |= {"layout": LAYOUT, "cv2": cv2.__version__, "pillow": PIL.__version__}
    told |= {"simplejpeg": simplejpeg.__version__}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode())


def digest_of(decoded: Decoded) -> bytes:
    """SHA-256 of the pixels, for which processors have instructions; of nothing where there are none."""
    return hashlib.sha256(b"" if decoded.pixels is None else decoded.pixels.data).digest()


def load(cache: Path, key: str, form: Form) -> tuple[Decoded, bytes] | None:
    """The entry and the digest of its pixels, or None."""
    try:
        content = _entry(cache, key).read_bytes()
    except FileNotFoundError:
        return None
    start = content.find(b"\n") + 1
    line, raw, seal = content[:start], memoryview(content)[start:-SEAL], content[-SEAL:]
    digest = hashlib.sha256(raw).digest()
    if hashlib.sha256(line + digest).digest() != seal:
        return None  # cut short, as by a full disk
    facts = json.loads(line)
    shape = (form.height, form.width, form.channels)
    pixels = np.frombuffer(raw, np.uint8).reshape(shape) if raw else None
    facts["oddities"] = tuple(facts["oddities"])
    return Decoded(pixels=pixels, **facts), digest


def store(cache: Path, key: str, decoded: Decoded, digest: bytes) -> None:
    """Write the entry, `digest` being that of its pixels; whoever else writes it writes the same."""
    facts = {name: getattr(decoded, name) for name in ("width", "height", "oddities", "what")}
    line = json.dumps(facts).encode() + b"\n"
    path = _entry(cache, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(line)
        if decoded.pixels is not None:
            file.write(decoded.pixels.data)
        file.write(hashlib.sha256(line + digest).digest())
    partial.replace(path)


def _entry(cache: Path, key: str) -> Path:
    return cache / key[:2] / key[2:]
