"""Where a store is: the file system of an address, and how the address may be shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from ebpf.errors import UsageError
from exporter.errors import AccountInvalid

_S3: Final = "s3://"
_LOCAL: Final = ("file", "")


def open_root(root: str) -> tuple[Any, str]:
    """The fsspec file system of a root, and its path in there. Raises UsageError.

    s3:// is pyarrow's own: keys and region as the AWS tools take them from the environment and ~/.aws, and
    another server from AWS_ENDPOINT_URL.
    """
    from fsspec.core import url_to_fs
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    try:
        if root.startswith(_S3):
            server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            files, path = ArrowFSWrapper(S3FileSystem(endpoint_override=server)), root.removeprefix(_S3)
        else:
            files, path = url_to_fs(root, **({"auto_mkdir": True} if is_local(root) else {}))
    except (OSError, ValueError, ImportError) as error:  # ImportError: another package of fsspec's
        raise UsageError(f"--store {shown(root)}: cannot be opened: {told(error)}") from None
    return files, path.rstrip("/")


def is_local(root: str) -> bool:
    """Whether it is a folder of this machine."""
    return urlsplit(root).scheme in _LOCAL


def shown(root: str) -> str:
    """A root as it may be shown: without what may be secret in it."""
    parts = urlsplit(root)
    if not parts.scheme:
        return root
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def answering(root: str) -> Iterator[None]:
    """Turn what a file system refuses meanwhile into AccountInvalid, which says of which store."""
    try:
        yield
    except OSError as error:
        raise AccountInvalid(f"--store {shown(root)}: {told(error)}") from error


def told(error: Exception) -> str:
    """What an error of a file system says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:300]
