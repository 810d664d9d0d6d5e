"""How fast a whole city's declarations are checked: 2,099 datasets, 51,688 fields, 59 subscribers (Shenzhen's figures),
60 elements that two fields in every five datasets carry, and asks for the golden view of them.

    python bench/check.py [--repeats N] [--seed N] [--keep DIR]

Draws a city with that seed, runs `govbus check` on it as a process of its own, and measures its wall time and its peak
memory (VmHWM). Fails where it takes 10 s or 500 MB or more. Writes ``bench/results/check.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from rig import spread, write

DATASETS, FIELDS, BODIES = 2_099, 51_688, 59
ELEMENTS = 60
LIMIT_SECONDS, LIMIT_MB = 10.0, 500.0

CHARACTERS = (
    "人口户籍登记证号姓名地址状态日期金额类型编码名称机构单位许可资质等级数量面积年度缴费参保就业婚姻房屋土地企业"
)
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
PURPOSES = [
    "school_place",
    "assistive_device",
    "disabled_employment",
    "tax_relief",
    "entity_registration",
    "statistics",
]
UNTIL = (date.today() + timedelta(days=700)).isoformat()


def uscc(number: int) -> str:
    """A code under the unassigned division prefix 89, with its check character (GB 32100)."""
    body = f"11890000{number:08}"
    organisation = body[8:]
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    check = (11 - sum(int(c) * w for c, w in zip(organisation, weights, strict=True)) % 11) % 11
    body += "X" if check == 10 else str(check)
    total = sum(ALPHABET.index(c) * pow(3, place, 31) for place, c in enumerate(body))
    return body + ALPHABET[(31 - total % 31) % 31]


def words(draw: random.Random, length: int) -> str:
    return "".join(draw.choice(CHARACTERS) for _ in range(length))


def contact(name: str) -> str:
    return f"{{role: 数据管理岗, phone: 0890-5550-1000, email: data@{name.replace('_', '-')}.example}}"


KINDS: list[tuple[object, str, str]] = [  # Avro type, entry's words, sample value
    ("string", "", '"云海市"'),
    ("string", "", '"甲"'),
    ("string", "codes: status", '"1"'),
    ("string", "format: division", '"890301"'),
    ({"type": "int", "logicalType": "date"}, "", '"2020-02-29"'),
    ("long", "unit: 分", "120000"),
    ("int", "", "7"),
    ("boolean", "", "true"),
    ({"type": "long", "logicalType": "timestamp-micros"}, "", '"2026-01-01T08:00:00+08:00"'),
]
MASKS = {"string": ["pass", "{mask: {first: 1}}", "pseudonym"], "long": ["pass", "{generalise: {band: 1000}}"]}


def dataset(
    draw: random.Random,
    root: Path,
    department: str,
    number: int,
    fields: int,
    subscribers: list[str],
    sources: dict[str, tuple[str, str]],
) -> dict:
    """Write one dataset with schema and samples; return its grants by subscriber and purpose.

    The first dataset that carries an element is its source: *sources* has dataset and field by element.
    """
    name = f"dataset_{number:04}"
    avro: list[dict[str, object]] = [{"name": "citizen_id", "type": "string", "doc": "公民身份号码"}]
    entries = ["  citizen_id: {title: 公民身份号码, definition: 公民唯一的身份代码, grade: L3, format: citizen_id}"]
    sample = ['"citizen_id": "890201197806301238"']
    kinds: dict[str, object] = {"citizen_id": "string"}
    for position in range(1, fields):
        path = f"item_{position:02}"
        kind, more, value = draw.choice(KINDS)
        optional = draw.random() < 0.4
        title = words(draw, draw.randint(2, 8))
        if number % 5 == 0 and position <= 2:
            element = f"citizen.item_{(number // 5 * 2 + position) % ELEMENTS:02}"
            kind, more, value, optional = "string", f"element: {element}", '"甲"', False
            if sources.setdefault(element, (name, path)) == (name, path):
                more += ", authoritative: true"
        avro.append({"name": path, "type": ["null", kind] if optional else kind, "doc": title})
        if optional:
            avro[-1]["default"] = None
        grade = draw.choice(["L1", "L2", "L2", "L3"])
        entry = f"title: {title}, definition: {words(draw, draw.randint(8, 30))}, grade: {grade}"
        entries.append(f"  {path}: {{{entry}{', ' + more if more else ''}}}")
        sample.append(f'"{path}": {"null" if optional and draw.random() < 0.3 else value}')
        kinds[path] = kind
    grants, lines = {}, []
    # A heavy tail: two subscribers are usual, the base registers have them all.
    wanted = min(len(subscribers), int(draw.paretovariate(1.3)) + 1)
    for subscriber in draw.sample(subscribers, wanted):
        purpose = draw.choice(PURPOSES)
        chosen = ["citizen_id", *draw.sample(sorted(kinds)[1:], min(len(kinds) - 1, draw.randint(3, 10)))]
        masks = {p: draw.choice(MASKS.get(str(kinds[p]), ["pass"])) if p != "citizen_id" else "pass" for p in chosen}
        grants[subscriber, purpose] = masks
        lines += [f"  - to: {subscriber}", f"    purpose: {purpose}", "    legal_basis: 《政务数据共享条例》第二十一条"]
        lines += [f"    until: {UNTIL}", f"    fields: {{{', '.join(f'{p}: {m}' for p, m in masks.items())}}}"]
        lines += ['    rows: {citizen_id: {prefix: "89"}}'] if draw.random() < 0.3 else []
    text = f"""\
dataset: {name}
title: {words(draw, 8)}
summary: {words(draw, 60)}
resource_code: 302{number % 1000:03}/{number:06}
entity: citizen
subject: citizen_id
key: [citizen_id]
share: conditional
share_condition: 限于列明的政务服务事项核验
update: {{cycle: daily}}
region: "890000"
legal_basis: 《中华人民共和国户口登记条例》第四条
contact: {contact(department)}
fields:
{chr(10).join(entries)}
source: {{kind: file, format: csv, encoding: gb18030, path: {name}/*.csv}}
grants:
{chr(10).join(lines)}
"""
    schemas, producers = root / "schemas" / department, root / "producers" / department
    (producers / f"{name}.yaml").write_text(text)
    schema = {"type": "record", "name": name, "fields": avro}
    (schemas / f"{name}.avsc").write_text(json.dumps(schema, ensure_ascii=False, indent=1))
    (schemas / f"{name}.usual.pass.json").write_text("{" + ",\n".join(sample) + "}")
    sample[0] = '"citizen_id": "890201197806301239"'
    (schemas / f"{name}.wrong_check_digit.fail.json").write_text("{" + ",\n".join(sample) + "}")
    return grants


def make_city(root: Path, seed: int) -> None:
    """Write the city that *seed* stands for into *root*."""
    draw = random.Random(seed)
    bodies = [f"body_{number:02}" for number in range(BODIES)]
    (root / "schemas").mkdir(parents=True)
    (root / "city.yaml").write_text('city: bench\ntitle: 云海市\ndivision: "890000"\n')
    purposes = "\n".join(f"  {purpose}: {words(draw, 6)}" for purpose in PURPOSES)
    codes = "\n".join(f'    "{code}": {words(draw, 3)}' for code in range(1, 10))
    elements = "\n".join(
        f"  citizen.item_{number:02}: {{title: {words(draw, 4)}, definition: {words(draw, 12)}, type: text, "
        "comparator: exact, severity: minor}"
        for number in range(ELEMENTS)
    )
    (root / "schemas" / "elements.yaml").write_text(
        f"purposes:\n{purposes}\ncode_lists:\n  status:\n{codes}\nelements:\n{elements}\n"
        "entities:\n  citizen: {title: 自然人, id: citizen_id, format: citizen_id}\n"
    )
    for number, body in enumerate(bodies):
        (root / "schemas" / body).mkdir()
        (root / "producers" / body).mkdir(parents=True)
        (root / "consumers" / body).mkdir(parents=True)
        head = (
            f'title: 云海市{words(draw, 4)}局\ncode: "{uscc(number + 1)}"\nregion: "890000"\ncontact: {contact(body)}\n'
        )
        (root / "producers" / body / "department.yaml").write_text(f"department: {body}\n{head}")
        (root / "consumers" / body / "subscriber.yaml").write_text(f"subscriber: {body}\nclearance: L4\n{head}")
    sizes = [FIELDS // DATASETS + (number < FIELDS % DATASETS) for number in range(DATASETS)]
    for _ in range(DATASETS * 2):  # uneven, with the same sum
        one, other = draw.randrange(DATASETS), draw.randrange(DATASETS)
        moved = draw.randint(0, min(sizes[one] - 5, 10))
        sizes[one], sizes[other] = sizes[one] - moved, sizes[other] + moved
    asks: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    sources: dict[str, tuple[str, str]] = {}
    for number, size in enumerate(sizes):
        department = draw.choice(bodies)
        name = f"dataset_{number:04}"
        grants = dataset(draw, root, department, number, size, bodies, sources)
        told = {path: element for element, (of, path) in sources.items() if of == name}
        for pair, masks in grants.items():
            wanted = asks.setdefault(pair, {})
            wanted[f"{department}.{name}"] = masks
            for path, element in told.items():
                if path in masks:
                    golden = wanted.setdefault("golden.citizen", {"citizen_id": "pass"})
                    golden[f"{element.removeprefix('citizen.')}.value"] = masks[path]
    for (subscriber, purpose), wanted in asks.items():
        lines = []
        for dataset_id, masks in wanted.items():
            shown = list(masks.items())[: draw.randint(2 if dataset_id == "golden.citizen" else 1, len(masks))]
            lines += [f"  {dataset_id}:", f"    fields: {{{', '.join(f'{p}: {m}' for p, m in shown)}}}"]
        text = (
            f"ask: {purpose}\npurpose: {purpose}\nlegal_basis: 《政务数据共享条例》\nscenario: {words(draw, 9)}\n"
            f"until: {UNTIL}\ndatasets:\n{chr(10).join(lines)}\n"
            f"delivery: {{kind: postgres, schema: {subscriber}_{purpose}}}\n"
        )
        (root / "consumers" / subscriber / f"{purpose}.yaml").write_text(text)


def measured(root: Path) -> tuple[float, float]:
    """Run `govbus check` on *root*; return wall seconds and peak resident megabytes of that process."""
    probe = (
        "import sys, pathlib\n"
        "from govbus.cli import app\n"
        "try:\n"
        "    app(['--city', sys.argv[1], 'check'], standalone_mode=False)\n"
        "finally:\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    sys.stderr.write('VmHWM ' + status.split('VmHWM:')[1].split()[0])\n"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", probe, str(root)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"govbus check refused the generated city:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return seconds, int(done.stderr.rpartition("VmHWM ")[2]) / 1024


def main() -> None:
    """Make the city, measure, write the result; exit code 1 where a limit is passed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "20260101")))
    arguments.add_argument("--keep", type=Path, help="write the city here and leave it")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = given.keep or Path(folder) / "city"
        make_city(root, given.seed)
        files = sum(1 for file in root.rglob("*") if file.is_file())
        print(f"seed {given.seed}: {DATASETS} datasets, {FIELDS} fields, {BODIES} subscribers, {files} files")
        runs = [measured(root) for _ in range(max(3, given.repeats))]
    seconds, megabytes = [run[0] for run in runs], [run[1] for run in runs]
    file = write(
        "check",
        {
            "seed": given.seed,
            "datasets": DATASETS,
            "fields": FIELDS,
            "elements": ELEMENTS,
            "subscribers": BODIES,
            "files": files,
            "seconds": spread(seconds, 2),
            "peak_memory_mb": spread(megabytes, 0),
            "limit_seconds": LIMIT_SECONDS,
            "limit_mb": LIMIT_MB,
        },
    )
    print(f"{max(seconds):.2f} s at worst, {max(megabytes):.0f} MB at worst; written to {file}")
    if max(seconds) >= LIMIT_SECONDS or max(megabytes) >= LIMIT_MB:
        sys.exit(f"over the limit of {LIMIT_SECONDS:.0f} s or {LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    main()
