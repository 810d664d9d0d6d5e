"""`govbus init`: an empty city that passes its check, with a word on what belongs where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from govbus.errors import GovbusError


class NotEmpty(GovbusError):
    """The folder holds a city, or something in the way of one; nothing was written."""


def init(folder: Path, title: str, division: str) -> tuple[str, ...]:
    """Write an empty city into *folder* (made if need be); return the files written.

    Raises NotEmpty, and writes nothing, where one of them exists.
    """
    name = re.sub(r"[^a-z0-9_]+", "_", folder.resolve().name.lower()).strip("_")
    name = name if re.match(r"[a-z]", name) else f"city_{name}".rstrip("_")
    files = {file: text.format(name=name[:63], title=title, division=division) for file, text in FILES.items()}
    there = [file for file in files if (folder / file).exists()]
    if there:
        raise NotEmpty(f"{folder / there[0]} exists: nothing was written; name an empty folder")
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tuple(files)


FILES: Mapping[str, str] = {
    "city.yaml": """\
# 全市共用的设置 · What holds for the whole bus. Every key: docs/declarations.md
city: {name}
title: {title}
division: "{division}"
partitions: 12              # 首次 apply 后不可更改 · fixed once applied
replication_factor: 1       # 生产环境为 3 · 3 in production
min_insync_replicas: 1      # 生产环境为 2 · 2 in production
""",
    "schemas/elements.yaml": """\
# 用途与代码表 · Purposes for which data may be asked, and code lists that fields refer to.
purposes:
  school_place: 义务教育学位申请资格核验
code_lists: {{}}
""",
    "schemas/README.md": """\
# schemas

每个数据集一个 `部门/数据集.avsc`（只写业务字段），旁边至少各有一个样例：
`数据集.名称.pass.json` 必须通过，`数据集.名称.fail.json` 必须被拒。用途和代码表写在 `elements.yaml`。

One `DEPARTMENT/DATASET.avsc` per dataset (business fields only), beside it at least one sample that must pass and one
that must fail. Purposes and code lists stand in `elements.yaml`.
""",
    "producers/README.md": """\
# producers

提供数据的部门：每个部门一个文件夹，内有 `department.yaml` 和每个数据集一个 `数据集.yaml`（目录信息、来源、授权）。

Departments that provide data: one folder each, with `department.yaml` and one `DATASET.yaml` per dataset (catalogue
entry, source, grants).
""",
    "consumers/README.md": """\
# consumers

使用数据的部门：每个部门一个文件夹，内有 `subscriber.yaml` 和每个事项一个 `事项.yaml`
（要什么、为什么、用到何时、送到哪里）。

Subscribers: one folder each, with `subscriber.yaml` and one file per ask (what, why, until when, delivered where).
""",
    ".gitignore": """\
# 密钥、状态和本地服务的数据 · Secrets, state and the local stack's data. Back up .govbus/secrets elsewhere.
.govbus/
""",
}
