"""Unpacks the archive of a model into the cache, once, whole or not at all."""

import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from picodet.download.cache import cache_folder, raise_output_error
from picodet.download.tar_reader import Member, read_members
from picodet.errors import CheckpointError
from picodet.files import sha256

UNPACKED = "unpacked"  # in the cache: SHA-256 of an archive / its name / its files
PIECE = 1 << 20  # bytes that are copied at a time


def unpack(archive: Path, cache: Path | None = None) -> Path:
    """The folder of a tar archive's files, in the cache.

    Of an archive of one folder, it is that folder. Only the content of files is taken, not their
    owners, permissions or times. Raises CheckpointError for an archive that is refused, or whose
    unpacked files were changed; OutputError where the cache cannot be written.
    """
    members = read_members(archive)
    folder = (cache or cache_folder()) / UNPACKED / sha256(archive)[:16] / archive.stem
    if not folder.exists():
        temporary = folder.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            with raise_output_error(folder):
                temporary.mkdir(parents=True)
                _write(archive, members, temporary)
                if not folder.exists():  # another process may have been faster
                    temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _verify(archive, members, folder)
    while len(inside := [path for path in folder.iterdir() if path.is_dir()]) == 1 and not any(
        path.is_file() for path in folder.iterdir()
    ):
        (folder,) = inside
    return folder


def _write(archive: Path, members: list[Member], folder: Path) -> None:
    with archive.open("rb") as source:
        for member in members:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            source.seek(member.offset)
            with path.open("xb") as target:
                left = member.size
                while left and (piece := source.read(min(PIECE, left))):
                    target.write(piece)
                    left -= len(piece)
                target.flush()
                os.fsync(target.fileno())


def _verify(archive: Path, members: list[Member], folder: Path) -> None:
    """Raise CheckpointError unless the folder has exactly the files of the archive."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    with archive.open("rb") as source:
        equal = found == {member.name for member in members} and all(
            _equal(source, member, folder / member.name) for member in members
        )
    if not equal:
        raise CheckpointError(
            f"{folder}: its files are no longer those of {archive}; delete the folder to have it "
            "unpacked again"
        )


def _equal(source: IO[bytes], member: Member, path: Path) -> bool:
    """Whether a file has the content of the member."""
    if path.is_symlink() or path.stat().st_size != member.size:
        return False
    source.seek(member.offset)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            if source.read(len(piece)) != piece:
                return False
    return True
