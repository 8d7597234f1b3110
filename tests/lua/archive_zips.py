"""Writes the archives of archive_spec.lua into the folder argv[1], hostile ones among them."""
import io, os, stat, struct, sys, zipfile

folder = sys.argv[1]
FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def info(name, mode=FILE, system=3):
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    entry.create_system = system
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def pack(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry in entries:
            name, data, *rest = entry
            archive.writestr(info(name, *rest), data)
    return out.getvalue()


def save(name, data):
    with open(os.path.join(folder, name + ".zip"), "wb") as file:
        file.write(data)


def names(name, *list):
    save(name, pack([(entry, b"data") for entry in list]))


# Names.
names("traversal", "../evil")
names("traversal_inside", "a/../../evil")
names("traversal_end", "a/..")
names("absolute", "/etc/evil")
names("backslash", "..\\evil")
names("long_part", "x" * 256)
names("long_path", "/".join(["x" * 100] * 11))
names("nothing", "")
names("dot", ".")
names("dots_are_names", "...", "a..b", "..c/d")
names("plain_dots", "./a", "b//c", "./d/./e")
names("case", "readme", "README", "Readme")
save("nul", pack([("evilX.txt", b"")]).replace(b"evilX.txt", b"evil\0.txt"))

# What cannot be at the same time.
names("twice", "a", "b", "a")
names("twice_otherwise", "a/b", "a//b")
names("file_and_folder", "a", "a/b")
names("file_and_folder_far", "a", "a.b", "a-b", "b", "a/b/c")
names("file_and_folder_later", "a/b", "a")
names("folders_twice", "a/", "a/b", "a/", "a/c/")
save("folder_and_file", pack([("a/", b"", FOLDER), ("a", b"data")]))

# Links.
def link(name, path, target, *more):
    save(name, pack([(path, target, LINK), *more]))

link("link_inside", "bin/x", b"../lib/x", ("lib/x", b"data"))
link("link_down", "x", b"lib/x", ("lib/x", b"data"))
link("link_dangling", "x", b"nowhere")
link("link_up", "x", b"..")
link("link_up_far", "a/b/x", b"../../../x")
link("link_absolute", "x", b"/etc/passwd")
link("link_zigzag", "x", b"a/../../y")
link("link_through_link", "a/b/l", b"../..", ("x", b"a/b/l/../..", LINK))
link("link_then_file", "x", b"lib", ("x/evil", b"data"), ("lib/y", b""))
link("link_twice", "x", b"/tmp", ("x", b"data"))
link("link_empty", "x", b"")
link("link_nul", "x", b"a\0b")
link("link_long", "x", b"a/" * 2000)
link("link_folder", "x/", b"a")

# Kinds and modes.
save("device", pack([("x", b"", stat.S_IFCHR | 0o666)]))
save("fifo", pack([("x", b"", stat.S_IFIFO | 0o666)]))
save("modes", pack([
    ("run", b"", stat.S_IFREG | 0o755), ("all", b"", stat.S_IFREG | 0o7777),
    ("none", b"", stat.S_IFREG), ("no_kind", b"", 0o600), ("dos", b"", 0, 0),
    ("d/", b"", stat.S_IFDIR), ("e", b"", stat.S_IFDIR | 0o1777),
]))

# Sizes.
zeros = bytes(10 << 20)
bomb = io.BytesIO()
with zipfile.ZipFile(bomb, "w") as archive:
    archive.writestr(info("0"), zeros)
    first = archive.filelist[0]
    for i in range(1, 1000):
        other = info(str(i))
        for field in ("CRC", "compress_size", "file_size", "header_offset"):
            setattr(other, field, getattr(first, field))
        archive.filelist.append(other)
    archive._didModify = True
save("overlap", bomb.getvalue())
small = pack([("a", zeros)])
size = struct.pack("<I", len(zeros))
save("lying_small", small.replace(size, struct.pack("<I", 1000)))
save("lying_large", small.replace(size, struct.pack("<I", 1 << 31)))
save("million", small)
names("deep", *[("%d/" % i) + "/".join("d" * 400) for i in range(300)])

# Broken, or unlike others.
good = pack([
    ("bootstrap", b"#!/bin/sh\n" * 100, stat.S_IFREG | 0o755), ("lib/a.lua", b"return 1\n"),
])
save("good", good)
save("prefixed", b"#!/bin/sh\n" + good)
save("crc", good.replace(good[14:18], b"\1\2\3\4"))
save("data", good[:45] + bytes([good[45] ^ 255]) + good[46:])
save("truncated", good[:-10])
save("half", good[: len(good) // 2])
save("empty", pack([]))
deflated, other = struct.pack("<HH", 0, 8), struct.pack("<HH", 0, 9)
save("method", pack([("a", b"data" * 100)]).replace(deflated, other))


class Unseekable(io.RawIOBase):
    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += data
        return len(data)


stream = Unseekable()
with zipfile.ZipFile(stream, "w") as archive:
    with archive.open(info("streamed"), "w") as file:
        file.write(b"data" * 1000)
save("descriptor", bytes(stream.bytes))

large = io.BytesIO()
with zipfile.ZipFile(large, "w") as archive:
    with archive.open(info("a"), "w", force_zip64=True) as file:
        file.write(b"data")
save("zip64", large.getvalue())

for count in (70000, 100001):
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(count):
            archive.writestr(zipfile.ZipInfo("f/%d" % i), b"")
    save("many_%d" % count, many.getvalue())
