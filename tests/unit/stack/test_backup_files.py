# SPDX-License-Identifier: Apache-2.0
"""Which files a backup holds."""

import os

import pytest

from stack.backup.taking import _files


def test_a_folder_that_cannot_be_listed_is_not_left_out_in_silence(tmp_path, monkeypatch):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.key").touch()
    (tmp_path / "sigbox.toml").touch()
    assert list(_files(tmp_path)) == ["sigbox.toml", "ca/ca.key"]
    scandir = os.scandir

    def closed(path):
        if os.fspath(path).endswith("ca"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(PermissionError):
        list(_files(tmp_path))
