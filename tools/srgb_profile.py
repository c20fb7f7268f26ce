"""Makes src/text_recognizer/formats/srgb.icc, the colour space that PDF/A names. `python tools/srgb_profile.py`

Little CMS computes it from sRGB's definition, so it is nobody's file; its date is always the same.
"""

import struct
from pathlib import Path

from PIL import ImageCms

TARGET = Path(__file__).parent.parent / "src" / "text_recognizer" / "formats" / "srgb.icc"


def build() -> bytes:
    """The profile, the same each time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)  # when it was made
    profile[84:100] = bytes(16)  # the digest, which may be empty
    return bytes(profile)


if __name__ == "__main__":
    TARGET.write_bytes(build())
