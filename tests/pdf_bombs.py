"""PDFs of a few hundred kilobytes that take gigabytes."""

import io
import struct
import zlib

from PIL import Image


def packed(piece, times):
    pack = zlib.compressobj(9)
    return b"".join(pack.compress(piece) for _ in range(times)) + pack.flush()


GIB = packed(bytes(2**20), 1024)


def stream(entries, data):
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries.encode(), len(data), data)


def written(objects, tail=None):
    """A PDF of numbered objects, with a table of them, or `tail` from where each stands."""
    out, places = bytearray(b"%PDF-1.7\n"), {}
    for number, content in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(out)
    if tail is None:
        size = max(objects) + 1
        rows = (b"%010d 00000 n \n" % places[n] if n in places else b"0000000000 65535 f \n" for n in range(1, size))
        out += b"xref\n0 %d\n0000000000 65535 f \n" % size + b"".join(rows)
        out += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % size
    else:
        out += b"60 0 obj\n" + tail(places, start) + b"\nendobj\n"
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def document(resources="", more=None, catalog=""):
    """Two pages, the first with `resources` and the drawing of object 4; `more` objects, from 6 on."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents %d 0 R /Resources << %b >> >>"
    return {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(),
        2: b"<< /Type /Pages /Kids [3 0 R 5 0 R] /Count 2 >>",
        3: page % (4, resources.encode()),
        4: stream("", b"0 0 50 50 re f"),
        5: page % (7, b""),
        7: stream("", b"0 0 100 100 re f"),
        **(more or {}),
    }


def shown(entries, data, space="/DeviceGray"):
    """The first page shows a picture of `entries`."""
    picture = stream(f"/Type /XObject /Subtype /Image /ColorSpace {space} /BitsPerComponent 8 {entries}", data)
    drawn = stream("", b"q 200 0 0 100 0 0 cm /I Do Q")
    return document("/XObject << /I 6 0 R >>", {4: drawn, 6: picture})


def among_objects(objects, number, content):
    """A PDF of `objects`, and one more in a stream of objects that unpacks to 1 GiB."""
    head = b"%d 0 " % number
    pack = zlib.compressobj(9)
    data = pack.compress(head + content) + b"".join(pack.compress(b" " * 2**20) for _ in range(1024)) + pack.flush()
    packed_in = stream(f"/Type /ObjStm /N 1 /First {len(head)} /Filter /FlateDecode", data)

    def index(places, start):
        kinds = {number: (2, 50, 0), 60: (1, start, 0), **{other: (1, at, 0) for other, at in places.items()}}
        rows = b"".join(struct.pack(">BIH", *kinds.get(other, (0, 0, 0))) for other in range(101))
        return stream("/Type /XRef /W [1 4 2] /Size 101 /Root 1 0 R /Filter /FlateDecode", zlib.compress(rows))

    return written({**objects, 50: packed_in}, index)


def packed_page():
    """The first of two pages is among them."""
    objects = document()
    del objects[3]
    return among_objects(objects, 3, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>")


def packed_spare():
    """No page needs it, but copying the whole does."""
    return among_objects(document(), 70, b"7")


def index_of_150_million():
    entries = "/Type /XRef /W [1 4 2] /Size 150000000 /Root 1 0 R /Filter /FlateDecode"
    return written(document(), lambda places, start: stream(entries, GIB))


def picture_in_the_drawing():
    data = packed(bytes(30_000), 30_000)
    drawn = b"q 200 0 0 100 0 0 cm BI /W 30000 /H 30000 /CS /G /BPC 8 /F /Fl ID " + data + b" EI Q"
    return written(document(more={4: stream("", drawn)}))


def profile_of_colours():
    more = {8: stream("/N 3 /Filter /FlateDecode", GIB)}
    data = zlib.compress(bytes(300))
    return written(shown("/Width 10 /Height 10 /Filter /FlateDecode", data, "[/ICCBased 8 0 R]") | more)


def palette():
    more = {8: stream("/Filter /FlateDecode", GIB)}
    data = zlib.compress(bytes(100))
    space = "[/Indexed /DeviceRGB 255 8 0 R]"
    return written(shown("/Width 10 /Height 10 /Filter /FlateDecode", data, space) | more)


def drawn_letter():
    """A letter of a type 3 font whose drawing unpacks to 1 GiB."""
    font = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 1000] /FontMatrix [.001 0 0 .001 0 0] /FirstChar 97"
        b" /LastChar 97 /Widths [1000] /Encoding << /Differences [97 /a] >> /CharProcs << /a 9 0 R >> >>"
    )
    drawing = stream("/Filter /FlateDecode", packed(b"0 0 m\n" * 174_762, 1024))
    more = {4: stream("", b"BT /F 20 Tf 20 50 Td (a) Tj ET"), 8: font, 9: drawing}
    return written(document("/Font << /F 8 0 R >>", more))


def names_of_letters():
    font = (
        b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding 9 0 R /DescendantFonts [<< /Type /Font /BaseFont /X"
        b" /Subtype /CIDFontType2 /CIDSystemInfo << /Registry (A) /Ordering (B) /Supplement 0 >> >>] >>"
    )
    letters = stream("/Type /CMap /CMapName /A /Filter /FlateDecode", packed(b" " * 2**20, 1024))
    more = {4: stream("", b"BT /F 20 Tf 20 50 Td (a) Tj ET"), 8: font, 9: letters}
    return written(document("/Font << /F 8 0 R >>", more))


def mesh():
    entries = (
        "/ShadingType 4 /ColorSpace /DeviceRGB /BitsPerCoordinate 8 /BitsPerComponent 8 /BitsPerFlag 8"
        " /Decode [0 200 0 100 0 1 0 1 0 1] /Filter /FlateDecode"
    )
    return written(document("/Shading << /S 8 0 R >>", {4: stream("", b"/S sh"), 8: stream(entries, GIB)}))


def packed_twice():
    return written(document(more={4: stream("/Filter [/FlateDecode /FlateDecode]", zlib.compress(GIB, 9))}))


def forms_by_doubling():
    more = {
        number: stream(
            f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F {number + 1} 0 R >> >>",
            b"/F Do /F Do",
        )
        for number in range(10, 40)
    }
    more |= {4: stream("", b"/F Do"), 40: stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", b"0 0 1 1 re f")}
    return written(document("/XObject << /F 10 0 R >>", more))


def picture_of_few_bytes():
    """64 million pixels of JPEG 2000, as it says, in a few hundred bytes, on a page as large."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG2000")
    more = shown("/Width 7900 /Height 7900 /Filter /JPXDecode", out.getvalue(), "/DeviceRGB")
    return written({**more, 3: more[3].replace(b"200 100", b"2900 2900")})


def picture_of_a_fax():
    return written(shown("/Width 65000 /Height 65000 /Filter /JBIG2Decode", bytes(30)))


def metadata():
    return written(document(catalog="/Metadata 9 0 R", more={9: stream("/Filter /FlateDecode", GIB)}))


def pages_in_one_list(number):
    """So many blank pages, each an object of its own."""
    kids = b" ".join(b"%d 0 R" % (page + 3) for page in range(number))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count %d /Kids [%s] >>" % (number, kids)]
    objects += [b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>"] * number
    parts, places, at = [b"%PDF-1.7\n"], [], 9
    for place, content in enumerate(objects, 1):
        places.append(at)
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (place, content))
        at += len(parts[-1])
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, at)
    return b"".join([*parts, b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1), rows, end])
