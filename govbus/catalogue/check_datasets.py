"""Checks of each dataset: its fields against its schema and the city's words, its key, its source, its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from govbus.catalogue.avro_fields import KEY_KINDS, AvroField
from govbus.catalogue.check_structure import structure_faults
from govbus.catalogue.document import read_json
from govbus.catalogue.draft import SOURCE_MODELS, DatasetDraft, Draft, unknown
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.golden import GOLDEN
from govbus.catalogue.model import DEFAULT_MAX_AGE, FieldEntry
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.samples import sample_problems
from govbus.catalogue.shape import MENDED, modelled, suggestion
from govbus.catalogue.source import parse_source
from govbus.errors import Fault
from govbus.rules.condition import CONNECTIVES
from govbus.rules.formats import FORMATS

RESERVED_DEPARTMENTS = frozenset({"bus", GOLDEN})
"""``raw.bus.reference`` and its kin are the bus's own topics, ``golden.ENTITY`` its own datasets."""


def dataset_faults(draft: Draft, dataset: DatasetDraft) -> Iterator[Fault]:
    """Yield what is wrong with *dataset* by itself, its grants aside."""
    yield from _entry_faults(draft, dataset)
    if dataset.fields:
        yield from _schema_faults(dataset)
        yield from _key_faults(dataset)
        yield from _source_faults(dataset)
        structural = list(structure_faults(draft, dataset))
        yield from structural
        yield from _sample_faults(draft, dataset, by_checks=not structural)
    yield from _sharing_faults(dataset)


def _schema_faults(dataset: DatasetDraft) -> Iterator[Fault]:
    """Every field of the schema is documented, and nothing else is; no field has a name that the bus keeps."""
    document = dataset.document
    described = document.value.get("fields")
    for path in dataset.fields:
        if path not in dataset.entries and (not isinstance(described, dict) or path not in described):
            name = path.rpartition(".")[2]
            if name in CONNECTIVES or name.startswith("_"):
                continue
            message = f"field {path} is not documented: add it under fields: in {document.file}, with title and grade"
            yield _at_schema(dataset, path, FaultCode.UNDOCUMENTED_FIELD, message)
    for path in dataset.fields:
        name = path.rpartition(".")[2]
        if name in CONNECTIVES or name.startswith("_"):
            message = f"field {path} has a name that the bus keeps for itself (not, all, any, _...): rename it"
            yield _at_schema(dataset, path, FaultCode.RESERVED_NAME, message)
    for path in dataset.entries:
        if path not in dataset.fields and path != MENDED:
            near = suggestion(path, dataset.fields)
            message = f"field {path} is not in the schema{near}: add it to the .avsc, or remove it here"
            yield document.fault(FaultCode.FIELD_NOT_IN_SCHEMA, message, "fields", path)


def _at_schema(dataset: DatasetDraft, path: str, code: FaultCode, message: str) -> Fault:
    assert dataset.schema is not None
    return Fault(dataset.schema.file, dataset.schema_line(path), code, message)


def _entry_faults(draft: Draft, dataset: DatasetDraft) -> Iterator[Fault]:
    """Formats, code lists and owners are known, and fit the field's type."""
    code_lists, document = draft.vocabulary.code_lists, dataset.document
    for path, entry in dataset.entries.items():
        if entry.owner is not None and entry.owner not in draft.declarations.departments:
            message = unknown(entry.owner, "department", draft.declarations.departments, "producers/")
            yield document.fault(FaultCode.UNKNOWN_OWNER, f"owner of {path}: {message}", "fields", path, "owner")
        if entry.authoritative and entry.element is None and "element" not in dataset.entry_as_written(path):
            message = f"{path} is authoritative, but for nothing: name its element, e.g. element: citizen.name"
            yield document.fault(FaultCode.WRONG_VALUE, message, "fields", path, "authoritative")
        if entry.share == "not_shared" and entry.basis is None:
            message = f"{path} is not shared without a basis: name the law and article that bars it (basis:)"
            yield document.fault(FaultCode.MISSING_LEGAL_BASIS, message, "fields", path, "share")
        if entry.format is not None:
            if entry.format not in FORMATS:
                near = suggestion(entry.format, FORMATS)
                message = f"unknown format {entry.format} of {path}{near} (known: {', '.join(sorted(FORMATS))})"
                yield document.fault(FaultCode.UNKNOWN_FORMAT, message, "fields", path, "format")
            elif path in dataset.fields and dataset.fields[path].kind != "string":
                message = f"{path} is a {dataset.fields[path].kind}: only a string has a format"
                yield document.fault(FaultCode.TYPE_MISFIT, message, "fields", path, "format")
        if entry.codes is not None:
            if entry.codes not in code_lists:
                message = unknown(entry.codes, "code list", code_lists, ELEMENTS)
                yield document.fault(FaultCode.UNKNOWN_CODE_LIST, f"{path}: {message}", "fields", path, "codes")
            elif path in dataset.fields:
                yield from _code_list_faults(dataset, path, entry, code_lists[entry.codes])


def _code_list_faults(dataset: DatasetDraft, path: str, entry: FieldEntry, codes: Mapping[str, str]) -> Iterator[Fault]:
    field = dataset.fields[path]
    if field.kind not in ("string", "int", "long", "enum"):
        message = f"{path} is a {field.kind}: a code list belongs to a string, a whole number or an enum"
        yield dataset.document.fault(FaultCode.TYPE_MISFIT, message, "fields", path, "codes")
    outside = [symbol for symbol in field.symbols if symbol not in codes]
    if outside:
        message = f"the enum of {path} has symbols outside the code list {entry.codes}: {', '.join(outside)}"
        yield dataset.document.fault(FaultCode.TYPE_MISFIT, message, "fields", path, "codes")


def _key_faults(dataset: DatasetDraft) -> Iterator[Fault]:
    model, document = dataset.model, dataset.document
    for number, path in enumerate(model.key):
        if path == MENDED:
            continue
        field = dataset.fields.get(path)
        message = _unfit_key(path, field, dataset)
        if message is None and path in model.key[:number]:
            message = f"key field {path} stands twice: keep one of them"
        if message is not None:
            yield document.fault(FaultCode.INVALID_KEY, message, "key", path)
    if MENDED not in (model.subject, *model.key) and model.subject != model.key[0]:
        message = f"the subject is the first key field: write subject: {model.key[0]}, or put {model.subject} first"
        yield document.fault(FaultCode.INVALID_KEY, message, "subject")


def _unfit_key(path: str, field: AvroField | None, dataset: DatasetDraft) -> str | None:
    if field is None:
        return f"key field {path} is not in the schema{suggestion(path, dataset.fields)}"
    if field.optional:
        return f"key field {path} may be null: a key is always there"
    if field.kind not in KEY_KINDS:
        return f"key field {path} is a {field.kind}: a key is a string, whole number, date, time, enum or boolean"
    return None


def _source_faults(dataset: DatasetDraft) -> Iterator[Fault]:
    declared = dataset.model.source
    if declared is None:
        return
    faults: list[Fault] = []
    source = modelled(dataset.document, declared, parse_source, SOURCE_MODELS, faults, at=("source",))
    yield from faults
    for path in getattr(source, "columns", ()):
        if path not in dataset.fields:
            message = f"source.columns names {path}, which the schema does not have{suggestion(path, dataset.fields)}"
            yield dataset.document.fault(FaultCode.UNKNOWN_FIELD, message, "source", "columns", path)


def _sample_faults(draft: Draft, dataset: DatasetDraft, *, by_checks: bool) -> Iterator[Fault]:
    """Every passing sample passes, every failing one fails, and there is one of each."""
    assert dataset.schema is not None
    model = dataset.model if by_checks else dataset.model.model_copy(update={"checks": ()})
    samples = draft.declarations.samples.get(dataset.id, [])
    stem = dataset.schema.file.removesuffix(".avsc")
    for passes, word in ((True, "pass"), (False, "fail")):
        if not any(sample.passes is passes for sample in samples):
            message = f"no {word}ing sample: add {stem}.NAME.{word}.json, where NAME says what it proves"
            yield Fault(dataset.schema.file, 1, FaultCode.MISSING_SAMPLE, message)
    documented = dataset.entries.keys() >= dataset.fields.keys()
    for sample in samples:
        faults: list[Fault] = []
        document = read_json(draft.declarations.root, sample.file, faults)
        yield from faults
        if document.value is None or not documented:
            continue
        problems = sample_problems(document.value, model, draft.vocabulary.code_lists)
        if sample.passes:
            for path, problem in problems:
                message = f"this sample should pass, but {path or 'the record'} is refused: {problem}"
                yield document.fault(FaultCode.SAMPLE_REFUSED, message, *path.split("."))
        elif not problems:
            message = "this sample should fail, but the dataset accepts it: give it the fault its name speaks of"
            yield Fault(sample.file, 1, FaultCode.SAMPLE_ACCEPTED, message)


def _sharing_faults(dataset: DatasetDraft) -> Iterator[Fault]:
    model, document = dataset.model, dataset.document
    if model.share == "not_shared" and model.basis is None:
        message = "a dataset that is not shared names the law and article that bars it: add basis:"
        yield document.fault(FaultCode.MISSING_LEGAL_BASIS, message, "share")
    if model.share_condition is not None and model.share != "conditional":
        message = f"share_condition belongs to share: conditional, and this dataset is {model.share}"
        yield document.fault(FaultCode.WRONG_VALUE, message, "share_condition")
    if model.update.max_age is None and model.update.cycle not in DEFAULT_MAX_AGE:
        message = "an irregular dataset says from which age on its data is stale: add max_age, e.g. max_age: 90d"
        yield document.fault(FaultCode.MISSING_KEY, message, "update")
