"""Archives, pictures, names and servers that mean harm."""

import gzip
import io
import os
import struct
import tarfile
import threading
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from tests.data.conftest import READING

from vision_studies import fetching
from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.image_set import check_class_names
from vision_studies.data.sources import archives, decoding, raw
from vision_studies.data.sources.archives import read_cifar_archive, read_idx
from vision_studies.data.sources.decoding import CorruptImageError, Decoding, decode_image
from vision_studies.data.sources.listing import Item
from vision_studies.data.sources.read import read_source
from vision_studies.errors import DataError, visible

LINKS = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
RECORDS = np.zeros((2, 3073), np.uint8).tobytes()
NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]

SETTINGS = {
    "image_size": None,
    "skip_corrupt": False,
    **READING,
    "splits": {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0, "copies": "together", "long_tail": None},
    "download_folder": "data",
    "ffcv": False,
}


def pack(file, members):
    """A packed archive of (name, content or kind of link)."""
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content not in LINKS.values():
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content, "/etc/passwd"
                archive.addfile(member)
    return file


def cifar(*more):
    return [*more, *((name, RECORDS) for name in NAMES), ("batches.meta.txt", b"cat\ndog\n")]


def test_members_write_nothing_wherever_they_point(tmp_path, monkeypatch):
    inside = tmp_path / "a/b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    outside = [("../../escaped", b"x"), (f"{tmp_path}/escaped", b"x"), ("../../data_batch_9.bin", b"x")]
    links = [(f"link-{kind}", content) for kind, content in LINKS.items()]
    nested = [("inner.tar.gz", pack(inside / "inner.tar.gz", outside).read_bytes())]
    file = pack(inside / "cifar.tar.gz", cifar(*outside, *links, *nested))
    before = sorted(tmp_path.rglob("*"))
    assert read_cifar_archive(file).class_names == ("cat", "dog")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_no_content(tmp_path, kind):
    members = [(name, LINKS[kind] if name == NAMES[0] else content) for name, content in cifar()]
    with pytest.raises(DataError, match="is not an archive of CIFAR"):
        read_cifar_archive(pack(tmp_path / "cifar.tar.gz", members))


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("_MOST_MEMBERS", 5, "it has more than 5 members"),
        ("_MOST_UNPACKED_BYTES", 20_000, "it unpacks to more than 20,000 bytes"),
        ("_MOST_MEMBER_BYTES", 5000, r"its 'data_batch_1\.bin' has 6,146 bytes"),
    ],
)
def test_an_archive_larger_than_cifar_is_refused(tmp_path, monkeypatch, limit, value, message):
    monkeypatch.setattr(archives, limit, value)
    members = [] if limit == "_MOST_MEMBER_BYTES" else [("batches.meta.txt", b"cat dog")]
    with pytest.raises(DataError, match=message):
        read_cifar_archive(pack(tmp_path / "cifar.tar.gz", [*members, ("batches.meta.txt", b"a b"), *cifar()]))


def test_a_large_archive_of_something_else_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_UNPACKED_BYTES", 20_000)
    pack(tmp_path / "backup.tar.gz", [(f"{number}.txt", bytes(5000)) for number in range(9)])
    assert archives.read_archive(tmp_path) is None


def test_a_sparse_member_is_no_content(tmp_path):
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(NAMES[0])
        member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}
        archive.addfile(member)
    with pytest.raises(DataError, match="is not an archive of CIFAR"):
        read_cifar_archive(tmp_path / "cifar.tar.gz")


def idx(folder, shape, content):
    for name in ("train", "t10k"):
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 1) + b"\x00")
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb", compresslevel=1) as packed:
            packed.write(struct.pack(">HBBIII", 0, 8, 3, *shape))
            packed.write(content)


@pytest.mark.parametrize(
    ("shape", "content", "message"),
    [
        ((1, 2, 2), bytes(1 << 22), "fewer or more bytes than it says"),
        ((1, 2, 2), bytes(3), "fewer or more bytes than it says"),
        ((0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), bytes(4), "more than the 1,073,741,824 that are read"),
    ],
)
def test_idx_files_are_read_as_far_as_they_say(tmp_path, shape, content, message):
    idx(tmp_path, shape, content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "1.png")
    os.mkfifo(tmp_path / "cat/2.png")
    (tmp_path / "dog/3.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"2 images cannot be read \(cat/2\.png, dog/3\.png\)"):
        read_source(DataPrepSettings(source=str(tmp_path), **SETTINGS))
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is damaged \(it is no file\)"):
        read_idx(tmp_path)


def png(width, height):
    """A picture that says to be of this size, and ends there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (1 << 30, 1 << 30)])
def test_a_size_that_is_only_said_takes_no_memory(size):
    with pytest.raises(CorruptImageError):
        decode_image(png(*size), Decoding(8))


def test_large_pictures_are_decoded_one_by_one(monkeypatch):
    monkeypatch.setattr(decoding, "_LARGE_PIXELS", 99)
    at_once, most = [], []
    to_8_bits = decoding.to_8_bits

    def observed(opened, wanted):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.002)
        at_once.pop()
        return to_8_bits(opened, wanted)

    monkeypatch.setattr(decoding, "to_8_bits", observed)
    content = io.BytesIO()
    Image.new("RGB", (10, 10)).save(content, "PNG")
    items = [Item(str(place), content.getvalue(), 0) for place in range(256)]
    assert len(raw.decode_all(items, ("a",), decoding=Decoding(4), skip_corrupt=False, source="x").images) == 256
    assert max(most) == 1


@pytest.mark.parametrize(
    "name", ["a\x1b[2J", "a\nb", "", "  ", "nul\x00", "\u202egnp", "a\u2028b", "\udcff", "\x9b31m"]
)
def test_a_class_name_cannot_command_a_terminal(name):
    with pytest.raises(DataError, match=r"^here has a class called '.*rename the class") as refused:
        check_class_names(("cat", name), "here")
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name", ["<script>", "../../x", "=cmd()", "Ärger", "家", "👩‍💻", "می‌خواهم", "$x$", "%{x}", "[red]"]
)
def test_names_that_are_only_odd_are_kept(name):
    check_class_names(("cat", name), "here")


def test_folders_with_such_names_are_refused(tmp_path):
    for name in ("cat", "dog\x1b]0;x\x07"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"has a class called 'dog\\x1b\]0;x\\x07'"):
        read_source(DataPrepSettings(source=str(tmp_path), **SETTINGS))


def test_errors_name_files_without_their_commands():
    assert (
        str(DataError("a\x1b[31m\x00.png is damaged;\n\tmend it ä")) == "a\\x1b[31m\\x00.png is damaged;\n\tmend it ä"
    )
    assert visible("\x9b1m\x7f") == "\\x9b1m\\x7f"


@contextmanager
def server(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *_):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as opened:
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{opened.server_port}/file"
        opened.shutdown()


def redirect(place):
    def answer(request):
        request.send_response(302)
        request.send_header("Location", place)
        request.end_headers()

    return answer


def endless(request):
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(bytes(1 << 16))
    except OSError:
        return


def fetch(address, folder):
    fetching.fetch_file(address, folder / "file", "0", "md5", timeout_seconds=5, most_bytes=1 << 20)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_server_leads_to_no_other_kind_of_address(tmp_path, place):
    with server(redirect(place)) as address, pytest.raises((OSError, ValueError)):
        fetch(address, tmp_path)
    with pytest.raises(OSError, match="unknown url type"):
        fetch(place, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_way_leads_from_https_to_http():
    request = fetching.urllib.request.Request("https://example.org/file")
    with pytest.raises(OSError, match="it leads from https to http://"):
        fetching._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/file")


@pytest.mark.parametrize(("seconds", "message"), [(9, "larger than"), (0.0, "takes longer")])
def test_a_download_without_end_is_given_up(tmp_path, monkeypatch, seconds, message):
    monkeypatch.setattr(fetching, "_MOST_SECONDS", seconds)
    with server(endless) as address, pytest.raises(ValueError, match=message):
        fetch(address, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_when_a_download_fails(tmp_path):
    (tmp_path / "file").write_bytes(b"before")
    with server(redirect("http://127.0.0.1:9/")) as address, pytest.raises(OSError, match=r"refused|urlopen"):
        fetch(address, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"before"
