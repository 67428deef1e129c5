"""`sd-data download` against a server on this machine, in the layout of PhysioNet."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sd_data.cli import main
from sd_data.corpora.downloads import DOWNLOADS

FILES = {
    "Subject00_1.edf": b"first" * 1000,
    "Subject00_2.edf": b"second" * 1000,
    "subject-info.csv": b"Subject,Age,Gender\n",
    "ANNOTATORS": b"nobody needs this",
}


class Server:
    """Serves a folder and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.drop = folder, list[str](), set[str]()
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                server.asked.append(name)
                if name in server.drop:  # the line goes dead in the middle
                    self.send_response(200)
                    self.send_header("Content-Length", "5000")
                    self.end_headers()
                    self.wfile.write(b"first" * 10)
                    self.close_connection = True
                    return
                super().do_GET()

            def log_message(self, *_: Any) -> None:
                """Not on the terminal."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/files/eegmat/1.0.0/"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "www" / "files" / "eegmat" / "1.0.0"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()} {name}" for name, content in FILES.items()]
    sums.append(f"{'0' * 64} ../../outside.edf")
    (folder / "SHA256SUMS.txt").write_text("\n".join(sums))
    made = Server(tmp_path / "www")
    made.folder = folder
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()


def fetch(server: Server, out: Path) -> Result:
    return CliRunner().invoke(main, ["download", "eegmat", "-o", str(out), "--url", server.url])


def there(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


NEEDED = {name: content for name, content in FILES.items() if name != "ANNOTATORS"}


def test_the_files_that_are_needed_arrive(server: Server, tmp_path: Path) -> None:
    done = fetch(server, tmp_path / "deep" / "eegmat")
    assert done.exit_code == 0, done.output
    assert there(tmp_path / "deep" / "eegmat") == NEEDED
    assert "ODC-By" in done.stderr
    assert "outside.edf" not in server.asked


def test_a_second_run_fetches_what_is_missing_or_broken(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "d").exit_code == 0
    (tmp_path / "d" / "Subject00_1.edf").unlink()
    (tmp_path / "d" / "Subject00_2.edf").write_bytes(b"half")
    server.asked.clear()
    assert fetch(server, tmp_path / "d").exit_code == 0
    assert there(tmp_path / "d") == NEEDED
    assert sorted(server.asked) == ["SHA256SUMS.txt", "Subject00_1.edf", "Subject00_2.edf"]


def test_a_line_that_goes_dead_leaves_no_half_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.drop.add("Subject00_2.edf")
    broken = fetch(server, tmp_path / "d")
    assert broken.exit_code == 2
    assert "'Subject00_2.edf' could not be fetched" in broken.stderr
    assert "run the command again" in broken.stderr
    assert set(there(tmp_path / "d")) == {"Subject00_1.edf"}
    server.drop.clear()
    assert fetch(server, tmp_path / "d").exit_code == 0
    assert there(tmp_path / "d") == NEEDED


def test_a_file_of_another_content_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    (server.folder / "Subject00_1.edf").write_bytes(b"swapped")
    broken = fetch(server, tmp_path / "d")
    assert "'Subject00_1.edf' could not be fetched" in broken.stderr
    assert "it arrived damaged" in broken.stderr
    assert there(tmp_path / "d") == {}


def test_no_server_no_list_or_no_corpus_are_one_sentence(server: Server, tmp_path: Path) -> None:
    (server.folder / "SHA256SUMS.txt").unlink()
    gone = fetch(server, tmp_path / "d")
    assert gone.exit_code == 2
    assert "SHA256SUMS.txt cannot be read: the server answers 404" in gone.stderr
    (server.folder / "SHA256SUMS.txt").write_text("<html>")
    assert "names none of the files that are needed" in fetch(server, tmp_path / "d").stderr
    nobody = CliRunner().invoke(main, ["download", "eegmat", "-o", str(tmp_path / "d"), "--url", "http://127.0.0.1:9"])
    assert "the server cannot be reached" in nobody.stderr
    unknown = CliRunner().invoke(main, ["download", "seed-v", "-o", str(tmp_path / "d")])
    assert "corpus 'seed-v' cannot be downloaded; these can: eegmat" in unknown.stderr
    assert not (tmp_path / "d").exists()


def test_downloads_come_over_https() -> None:
    assert all(each.url.startswith("https://") and each.url.endswith("/") for each in DOWNLOADS.values())
