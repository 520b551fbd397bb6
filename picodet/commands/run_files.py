"""The files that a run of a command reads and writes: no output may replace another of them."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from picodet.errors import OutputError
from picodet.files import FileIdentity, file_identity

# of output files, which are not read from a folder of images
RESULT_SUFFIXES = (".html", ".json", ".npz", ".onnx", ".pdparams", ".pth", ".safetensors")


class RunFiles:
    """The inputs and outputs that a command declares, at its start and while it runs."""

    def __init__(self) -> None:
        self._read: set[FileIdentity] = set()
        self._folders: dict[
            FileIdentity, tuple[str, ...]
        ] = {}  # input folders, and the suffixes not read in them
        self._written: list[tuple[Path, FileIdentity]] = []
        self._own: list[tuple[Path, tuple[str, ...]]] = []  # folders, and names in them

    def reads(self, path: Path, ignored_suffixes: tuple[str, ...] = ()) -> None:
        """Add an input: a file, or a folder with all its files except those of these suffixes."""
        if _is_device(path) or (found := file_identity(path)) is None or not path.exists():
            return
        if path.is_dir():
            self._folders[found] = ignored_suffixes
        self._read.add(found)

    def writes(self, path: Path) -> None:
        """Add an output: a file, or a folder as a whole."""
        found = file_identity(path)
        if found is not None and not _is_device(path):
            self._written.append((path, found))

    def writes_into(self, folder: Path, names: Iterable[str]) -> None:
        """Add outputs: files in a folder; their names may be patterns."""
        self._own.append((folder, tuple(names)))

    def check_all(self) -> None:
        """Raise OutputError if an output is also another file of the run."""
        for path, _ in self._written:
            self.check(path)

    def check(self, path: Path) -> None:
        """Raise OutputError if this output is also another file of the run."""
        own = file_identity(path)
        if own is None or _is_device(path):
            return  # reported when it is opened
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
        """Whether this output is no other file of the run."""
        try:
            self.check(path)
        except OutputError:
            return False
        return True

    def check_inputs(self, paths: Iterable[Path]) -> None:
        """Raise OutputError if an input would be replaced by a file written into a folder."""
        for path in paths:
            for folder, names in self._own:
                if file_identity(path) and path.exists() and _is_in(path, folder, names):
                    raise OutputError(
                        f"{path}: is read, and would be replaced by what is written into {folder}; "
                        "name another folder"
                    )

    def _read_with(self, path: Path) -> Path | None:
        """The input folder that already contains this file; None if there is none."""
        if not path.is_file():
            return None
        for folder in _folders_of(path):
            ignored_suffixes = self._folders.get(file_identity(folder) or (0, 0))
            if ignored_suffixes is not None and path.suffix.lower() not in ignored_suffixes:
                return folder
        return None


def _is_in(path: Path, folder: Path, names: Iterable[str]) -> bool:
    """Whether path has, or lies below, one of these names in the folder."""
    wanted, below = file_identity(folder), path.resolve()
    for parent in _folders_of(path):
        if file_identity(parent) == wanted:
            return any(fnmatch(below.name.casefold(), name.casefold()) for name in names)
        below = parent
    return False


def _folders_of(path: Path) -> Iterator[Path]:
    yield from path.resolve().parents


def _is_device(path: Path) -> bool:
    """Whether path is a character device, such as /dev/null: any output may go there."""
    try:
        return path.is_char_device()
    except (OSError, ValueError):  # reported when it is opened
        return False
