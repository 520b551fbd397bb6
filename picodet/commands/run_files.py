"""Which files a run of a command reads and writes: none that it writes may replace another."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from picodet.errors import OutputError
from picodet.files import FileIdentity, file_identity

# of results, which no folder of images is asked for
RESULT_SUFFIXES = (".html", ".json", ".npz", ".onnx", ".pdparams", ".pth", ".safetensors")


class RunFiles:
    """Filled from what a command declares, and with what it learns while it runs."""

    def __init__(self) -> None:
        self._read: set[FileIdentity] = set()
        self._folders: dict[
            FileIdentity, tuple[str, ...]
        ] = {}  # that are read: suffixes left alone
        self._written: list[tuple[Path, FileIdentity]] = []
        self._own: list[tuple[Path, tuple[str, ...]]] = []  # folders, and names in them

    def reads(self, path: Path, ignored_suffixes: tuple[str, ...] = ()) -> None:
        """A file; or a folder, with all that is in it but files of these suffixes."""
        if _is_device(path) or (found := file_identity(path)) is None or not path.exists():
            return
        if path.is_dir():
            self._folders[found] = ignored_suffixes
        self._read.add(found)

    def writes(self, path: Path) -> None:
        """A file, or a folder as a whole."""
        found = file_identity(path)
        if found is not None and not _is_device(path):
            self._written.append((path, found))

    def writes_into(self, folder: Path, names: Iterable[str]) -> None:
        """Files of a folder; the names may be patterns."""
        self._own.append((folder, tuple(names)))

    def check_all(self) -> None:
        """Raise OutputError where one that is written is another file of the run."""
        for path, _ in self._written:
            self.check(path)

    def check(self, path: Path) -> None:
        """The same of one of them."""
        own = file_identity(path)
        if own is None or _is_device(path):
            return  # opening it reports what it is
        if own in self._read or [its for _, its in self._written].count(own) > 1:
            raise OutputError(f"{path}: also an input or another output; name another file")
        if folder := self._read_with(path):
            raise OutputError(
                f"{path}: is one of the files of {folder}, which is read; name another file"
            )
        for folder, names in self._own:
            if path != folder and _is_in(path, folder, names):
                raise OutputError(
                    f"{path}: has the name of a file that is written into {folder}; name another "
                    "file"
                )

    def is_distinct(self, path: Path) -> bool:
        """Whether it is a file of its own."""
        try:
            self.check(path)
        except OutputError:
            return False
        return True

    def check_inputs(self, paths: Iterable[Path]) -> None:
        """Raise OutputError where one that is read is going to be written as part of a folder."""
        for path in paths:
            for folder, names in self._own:
                if file_identity(path) and path.exists() and _is_in(path, folder, names):
                    raise OutputError(
                        f"{path}: is read, and would be replaced by what is written into {folder}; "
                        "name another folder"
                    )

    def _read_with(self, path: Path) -> Path | None:
        """The folder that is read and holds it already."""
        if not path.is_file():
            return None
        for folder in _folders_of(path):
            ignored_suffixes = self._folders.get(file_identity(folder) or (0, 0))
            if ignored_suffixes is not None and path.suffix.lower() not in ignored_suffixes:
                return folder
        return None


def _is_in(path: Path, folder: Path, names: Iterable[str]) -> bool:
    """Whether it is one of these names in the folder, or lies below one."""
    wanted, below = file_identity(folder), path.resolve()
    for parent in _folders_of(path):
        if file_identity(parent) == wanted:
            return any(fnmatch(below.name.casefold(), name.casefold()) for name in names)
        below = parent
    return False


def _folders_of(path: Path) -> Iterator[Path]:
    yield from path.resolve().parents


def _is_device(path: Path) -> bool:
    """What takes anything, from anybody; /dev/null."""
    try:
        return path.is_char_device()
    except (OSError, ValueError):  # ``status`` reports it
        return False
