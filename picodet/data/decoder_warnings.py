"""Captures what image decoders print while they decode an image.

If a file is damaged, libjpeg and libtiff guess pixels and print a line, and OpenCV returns them as
if they were right: only that line distinguishes such an image from an intact one.

- libjpeg and libpng print to C's `stderr`. With glibc that is a pointer, which points to a
  temporary file while an image is decoded. Python writes to the descriptor and is not affected.
  Several threads decode at once; if a line was printed, the image is decoded again, alone, to know
  which image it belongs to.
- libtiff's lines go through OpenCV's log to descriptor 2; with another C library all do. The
  descriptor points elsewhere while one image is decoded, alone.

Lines from anything but decoders are passed on.
"""

import ctypes
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Condition

import cv2
import numpy as np

if sys.platform == "linux":
    import fcntl

STDERR = 2  # the descriptor
UNBUFFERED = 2  # _IONBF of glibc's stdio.h
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# libjpeg's warnings (JWRN_ in jerror.h), libpng's lines, libtiff's as OpenCV logs them
DECODER_LINE = re.compile(
    rb"(?:\[.*\] global grfmt_tiff.*?)?"
    rb"((?:Corrupt JPEG data|Inconsistent progression sequence|Unknown Adobe color transform"
    rb"|Warning: unknown JFIF revision|Premature end of JPEG file|Invalid SOS parameters"
    rb"|libpng|TIFF_Error|TIFF_Warning)\b.*)"
)
# of these lines, those that leave the pixels as they are; unknown tags of a TIFF, for one
HARMLESS_LINE = re.compile(
    r"Corrupt JPEG data: bad ICC|Inconsistent|Unknown|Warning|libpng warning"
    r"|TIFF_Warning (?!\w*Decode)"
)
EXTRANEOUS_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")


def decode(data: bytes) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """[H, W, 3] uint8 BGR as OpenCV decodes it, None if it cannot; and its decoder's lines.

    Redirects C's stderr, or descriptor 2, of the process meanwhile. Raises cv2.error.
    """
    by_descriptor = data.startswith(TIFF) or not _can_replace_c_stderr()
    return (_capture.by_descriptor if by_descriptor else _capture.by_pointer)(data)


def is_damage(line: str, data: bytes) -> bool:
    """Whether a decoder's line means that pixels of the image `data` are guessed."""
    if found := EXTRANEOUS_BYTES.search(line):
        padding = bytes(int(found[1])) + bytes((0xFF, int(found[2], 16)))
        return padding not in data
    return HARMLESS_LINE.match(line) is None


@cache
def _can_replace_c_stderr() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _imdecode(data: bytes) -> np.ndarray | None:
    image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return image


class _StderrCapture:
    """Captures stderr for several threads at once, or for one exclusively, which has priority."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._num_active = 0
        self._num_exclusive = 0  # threads that hold or wait for exclusive use
        self._capture_fd = _anonymous_file()
        self._capture_stream: int | None = None  # the FILE
        self._original_stderr: int | None = None  # the pointer's value before

    def by_pointer(self, data: bytes) -> tuple[np.ndarray | None, tuple[str, ...]]:
        with self._slot(exclusive=False):
            before = self._size()
            image = _imdecode(data)
            if self._size() == before:
                return image, ()
        with self._slot(exclusive=True):
            image = _imdecode(data)
            return image, self._lines()

    def by_descriptor(self, data: bytes) -> tuple[np.ndarray | None, tuple[str, ...]]:
        if sys.__stderr__ is None:  # nothing is printed, and the descriptor may be any file's
            return _imdecode(data), ()
        with self._slot(exclusive=True), _opencv_warnings():
            saved_stderr = os.dup(STDERR)
            os.dup2(self._capture_fd, STDERR)
            try:
                image = _imdecode(data)
            finally:
                os.dup2(saved_stderr, STDERR)
                os.close(saved_stderr)
            return image, self._lines()

    @contextmanager
    def _slot(self, exclusive: bool) -> Iterator[None]:
        with self._changed:
            self._num_exclusive += exclusive
            if exclusive:
                self._changed.wait_for(lambda: self._num_active == 0)
            else:
                self._changed.wait_for(lambda: self._num_exclusive == 0)
            self._num_active += 1
            if self._num_active == 1 and _can_replace_c_stderr():
                self._redirect()
        try:
            yield
        finally:
            with self._changed:
                self._num_active -= 1
                self._num_exclusive -= exclusive
                if self._num_active == 0:
                    self.restore()
                    self._forward_other_lines()
                self._changed.notify_all()

    def _redirect(self) -> None:
        c = ctypes.CDLL(None)
        if self._capture_stream is None:
            c.fdopen.restype = ctypes.c_void_p
            self._capture_stream = c.fdopen(os.dup(self._capture_fd), b"a")
            c.setvbuf(ctypes.c_void_p(self._capture_stream), None, UNBUFFERED, ctypes.c_size_t(0))
        pointer = ctypes.c_void_p.in_dll(c, "stderr")
        self._original_stderr, pointer.value = pointer.value, self._capture_stream

    def restore(self) -> None:
        """Give C its `stderr` again."""
        if self._original_stderr is not None:
            ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr").value = self._original_stderr
            self._original_stderr = None

    def _size(self) -> int:
        return os.fstat(self._capture_fd).st_size

    def _text(self) -> bytes:
        os.lseek(self._capture_fd, 0, os.SEEK_SET)
        return os.read(self._capture_fd, self._size())

    def _lines(self) -> tuple[str, ...]:
        matches = map(DECODER_LINE.fullmatch, self._text().splitlines())
        return tuple(line[1].decode(errors="replace").strip() for line in matches if line)

    def _forward_other_lines(self) -> None:
        if self._size():
            lines = self._text().splitlines(keepends=True)
            os.ftruncate(self._capture_fd, 0)
            others = b"".join(line for line in lines if not DECODER_LINE.match(line))
            if others and sys.__stderr__ is not None:
                os.write(STDERR, others)


def _anonymous_file() -> int:
    """The descriptor of an unnamed temporary file, opened for appending."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("decoder_messages")
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
        return descriptor
    with tempfile.TemporaryFile("a+b") as file:
        return os.dup(file.fileno())


@contextmanager
def _opencv_warnings() -> Iterator[None]:
    """Raises OpenCV's log level, so that it prints libtiff's lines; restores it afterwards."""
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(max(level, log.LOG_LEVEL_WARNING))
    try:
        yield
    finally:
        log.setLogLevel(level)


def _after_fork() -> None:
    """Give a forked child process its own capture file; none of its threads is decoding."""
    global _capture  # noqa: PLW0603
    _capture.restore()
    _capture = _StderrCapture()


_capture = _StderrCapture()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
