"""Pictures decoded before, by the hash of their file and of the form asked for.

A cache decides no result: an entry holds exactly what decoding would give, and a broken one is as none.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import PIL
import simplejpeg  # type: ignore[import-untyped]

from stages.decoding import Decoded, Form

LAYOUT = 2  # of an entry: a line of JSON, the pixels, their hash; raised with it, and where decoding changes


def cache_key(content: bytes, form: Form, crop: tuple[int, int, int, int] | None) -> str:
    """One for each outcome: file, form, part and the libraries that decode."""
    told = asdict(form) | {"refused": sorted(form.refused), "kept": sorted(form.kept), "crop": crop}
    told |= {"layout": LAYOUT, "cv2": cv2.__version__, "pillow": PIL.__version__}
    told |= {"simplejpeg": simplejpeg.__version__}
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=20)
    digest.update(content)
    return digest.hexdigest()


def load(cache: Path, key: str, form: Form) -> Decoded | None:
    """The entry, or None."""
    try:
        content = _entry(cache, key).read_bytes()
    except FileNotFoundError:
        return None
    body, digest = content[:-20], content[-20:]
    if hashlib.blake2b(body, digest_size=20).digest() != digest:
        return None  # cut short, as by a full disk
    line, _, raw = body.partition(b"\n")
    facts = json.loads(line)
    shape = (form.height, form.width, form.channels)
    pixels = np.frombuffer(raw, np.uint8).reshape(shape) if raw else None
    facts["oddities"] = tuple(facts["oddities"])
    return Decoded(pixels=pixels, **facts)


def store(cache: Path, key: str, decoded: Decoded) -> None:
    """Write the entry; whoever else writes it at the same time writes the same."""
    facts = {name: getattr(decoded, name) for name in ("width", "height", "oddities", "what")}
    body = json.dumps(facts).encode() + b"\n" + (b"" if decoded.pixels is None else decoded.pixels.tobytes())
    path = _entry(cache, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(body + hashlib.blake2b(body, digest_size=20).digest())
    partial.replace(path)


def _entry(cache: Path, key: str) -> Path:
    return cache / key[:2] / key[2:]
