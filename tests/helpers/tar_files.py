"""Tar archives, ordinary and hostile, written by Python's tarfile."""

import io
import tarfile


def entry(name, content=b"", kind=tarfile.REGTYPE, **attributes):
    """A member and its content."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def archive(*entries, form=tarfile.GNU_FORMAT, **more):
    """The bytes of an archive of these entries."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form, **more) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


def archive_of(folder, name):
    """The bytes of an archive of the files of a folder, below a folder of this name."""
    files = [entry(f"{name}/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
    return archive(entry(f"{name}/", kind=tarfile.DIRTYPE), *files)
