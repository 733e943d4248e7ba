"""A small picture as a file of every format that is read: by Pillow, or by hand where it only reads."""

import io
import struct

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
COLOUR = Image.fromarray(PIXELS)
GREY = Image.fromarray(PIXELS[..., 0])
DEEP = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
BITS = GREY.convert("1")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def big(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def little(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _cursor() -> bytes:
    icon = saved(COLOUR, "ICO", bitmap_format="bmp", sizes=[(16, 12)])
    return icon[:2] + b"\2" + icon[3:]


def _icns() -> bytes:
    inner = saved(COLOUR.resize((16, 16)), "PNG")
    return b"icns" + big(16 + len(inner)) + b"icp4" + big(8 + len(inner)) + inner


def _photoshop() -> bytes:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 12, 16, 8, 3)
    return header + big(0, 0, 0) + b"\0\0" + PIXELS.transpose(2, 0, 1).tobytes()


def _ftex() -> bytes:
    return b"FTEX" + little(0, 16, 12, 1, 1, 1, 32, PIXELS.size) + PIXELS.tobytes()


def _pixar() -> bytes:
    header = bytearray(1024)
    header[:4] = b"\x80\xe8\0\0"
    header[416:428] = struct.pack("<6H", 12, 16, 12, 16, 14, 2)
    return bytes(header) + PIXELS.tobytes()


def _fli() -> bytes:
    grey = PIXELS[..., 0].tobytes()
    chunk = little(6 + len(grey)) + struct.pack("<H", 16) + grey
    frame = little(16 + len(chunk)) + struct.pack("<HH8x", 0xF1FA, 1) + chunk
    header = little(128 + len(frame)) + struct.pack("<HHHHHHI", 0xAF12, 1, 16, 12, 8, 3, 70)
    return header.ljust(128, b"\0") + frame


def _xpm() -> bytes:
    rows = ",\n".join('"' + "ab" * 8 + '"' for _ in range(12))
    colours = '"16 12 2 1",\n"a c #102030",\n"b c #ffffff"'
    return f"/* XPM */\nstatic char *x[] = {{\n{colours},\n{rows}\n}};\n".encode()


def _fits() -> bytes:
    cards = ["SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 16", "NAXIS2  = 12", "END"]
    head = "".join(f"{card:<80}" for card in cards).encode()
    return head.ljust(2880) + PIXELS[..., 0].tobytes().ljust(2880, b"\0")


def _photo_cd() -> bytes:
    content = bytearray(96 * 2048 + 768 * 512 * 3 // 2)
    content[2048:2052] = b"PCD_"
    return bytes(content)


FILES: dict[str, list[bytes]] = {
    "JPEG": [
        saved(COLOUR, "JPEG", exif=_exif()),
        saved(GREY, "JPEG", progressive=True),
        saved(COLOUR.convert("CMYK"), "JPEG"),
        saved(COLOUR, "MPO", save_all=True, append_images=[COLOUR]),
    ],
    "PNG": [
        saved(COLOUR, "PNG"),
        saved(COLOUR.convert("RGBA"), "PNG", exif=_exif()),
        saved(COLOUR.quantize(9), "PNG", transparency=3),
        saved(DEEP, "PNG"),
        saved(COLOUR, "PNG", save_all=True, append_images=[COLOUR.rotate(180)]),
    ],
    "WEBP": [
        saved(COLOUR, "WEBP", exif=_exif()),
        saved(COLOUR.convert("RGBA"), "WEBP", lossless=True),
        saved(COLOUR, "WEBP", save_all=True, append_images=[COLOUR.rotate(180)]),
    ],
    "GIF": [saved(COLOUR, "GIF"), saved(GREY, "GIF", save_all=True, append_images=[GREY.rotate(180)])],
    "BMP": [saved(COLOUR, "BMP"), saved(BITS, "BMP")],
    "TIFF": [
        *(
            saved(COLOUR, "TIFF", compression=how)
            for how in (None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits")
        ),
        saved(BITS, "TIFF", compression="group4"),
        saved(DEEP, "TIFF", exif=_exif()),
        saved(COLOUR.convert("CMYK"), "TIFF"),
    ],
    "AVIF": [saved(COLOUR, "AVIF", exif=_exif()), saved(COLOUR.convert("RGBA"), "AVIF")],
    "JPEG2000": [saved(COLOUR, "JPEG2000"), saved(COLOUR, "JPEG2000", no_jp2=True), saved(DEEP, "JPEG2000")],
    "PPM": [
        saved(COLOUR, "PPM"),
        saved(BITS, "PPM"),
        b"P3 2 1 255\n1 2 3 4 5 6\n",
        b"P5 2 1 65535\n\1\2\3\4",
    ],
    "QOI": [saved(COLOUR, "QOI")],
    "DIB": [saved(COLOUR, "DIB")],
    "ICO": [
        saved(COLOUR, "ICO", sizes=[(16, 12)]),
        saved(COLOUR, "ICO", bitmap_format="bmp", sizes=[(16, 12)]),
    ],
    "CUR": [_cursor()],
    "ICNS": [_icns()],
    "PSD": [_photoshop()],
    "DDS": [
        saved(COLOUR, "DDS"),
        *(saved(COLOUR.convert("RGBA"), "DDS", pixel_format=how) for how in ("DXT1", "DXT3", "DXT5")),
    ],
    "BLP": [
        saved(COLOUR.quantize(9), "BLP", blp_version="BLP1"),
        saved(COLOUR.quantize(9), "BLP", blp_version="BLP2"),
    ],
    "FTEX": [_ftex()],
    "PCX": [saved(COLOUR, "PCX"), saved(BITS, "PCX")],
    "DCX": [little(0x3ADE68B1, 12, 0) + saved(COLOUR, "PCX")],
    "SGI": [saved(COLOUR, "SGI")],
    "SUN": [big(0x59A66A95, 16, 12, 24, PIXELS.size, 1, 0, 0) + PIXELS.tobytes()],
    "PIXAR": [_pixar()],
    "FLI": [_fli()],
    "MSP": [saved(BITS, "MSP")],
    "XBM": [saved(BITS, "XBM")],
    "XPM": [_xpm()],
    "GBR": [big(32, 2, 16, 12, 1) + b"GIMP" + big(10) + b"a\0\0\0" + PIXELS[..., 0].tobytes()],
    "FITS": [_fits()],
    "XVTHUMB": [b"P7 332\n#XVVERSION:1\n#END_OF_COMMENTS\n16 12 255\n" + PIXELS[..., 0].tobytes()],
    "PCD": [_photo_cd()],
    "TGA": [saved(COLOUR, "TGA"), saved(COLOUR, "TGA", compression="tga_rle")],
}
"""By Pillow's name of the format; some have several kinds."""
