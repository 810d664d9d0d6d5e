"""Checks of a dataset's structural checks: each is one of the known rules, over fields that can carry it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from govbus.catalogue.avro_fields import AvroField
from govbus.catalogue.document import Ambiguous, Steps
from govbus.catalogue.draft import DatasetDraft, Draft
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.shape import MENDED, suggestion
from govbus.errors import Fault
from govbus.rules.formats import FORMATS
from govbus.rules.structural import FEMALE, MALE, ON_FAILURE, RULES, WORDS, Operand, Rule

_Found = tuple[Steps, FaultCode, str]
"""Where inside a check, the code, and what to do."""

SEXES = {"male": MALE, "female": FEMALE}


def structure_faults(draft: Draft, dataset: DatasetDraft) -> Iterator[Fault]:
    """Yield what is wrong with the structural checks of *dataset*; its schema is known."""
    seen: list[Mapping[str, Any]] = []
    for number, declared in enumerate(dataset.model.checks):
        if declared.get("rule") == MENDED:
            continue
        found = list(_check_faults(draft, dataset, declared))
        meant = {word: value for word, value in declared.items() if word != "on_failure"}
        if not found and meant in seen:
            found = [((), FaultCode.CHECK_MISFIT, f"{declared['rule']} of these fields stands twice: keep one of them")]
        seen.append(meant)
        for steps, code, message in found:
            yield dataset.document.fault(code, message, "checks", number, *steps)


def _check_faults(draft: Draft, dataset: DatasetDraft, declared: Mapping[str, Any]) -> Iterator[_Found]:
    name = declared.get("rule")
    if name is None:
        yield (), FaultCode.MISSING_KEY, f"a check has no rule: write one of: {', '.join(RULES)}"
        return
    rule = RULES.get(name) if isinstance(name, str) else None
    if rule is None:
        hint = suggestion(name, RULES)
        message = f"unknown rule {str(name)[:60]}{hint} (known: {', '.join(RULES)})"
        yield ("rule",), FaultCode.UNKNOWN_RULE, message
        return
    yield from _words_faults(declared, str(name), rule)
    fields: dict[str, AvroField] = {}
    for operand, wanted in rule.operands.items():
        if operand in declared:
            field, fault = _field(dataset, str(name), operand, wanted, declared[operand])
            if field is not None:
                fields[operand] = field
            if fault is not None:
                yield (operand,), *fault
    if len(fields) == len(rule.operands):
        yield from _together(str(name), fields)
        yield from _settings_faults(draft, dataset, str(name), declared, fields)


def _words_faults(declared: Mapping[str, Any], name: str, rule: Rule) -> Iterator[_Found]:
    """Every word is the rule's, and none that it needs is missing."""
    known = [*rule.operands, *sorted(rule.settings), *sorted(WORDS)]
    for word in declared:
        if word not in known:
            message = f"unknown key {word} in a check {name}{suggestion(word, known)} (known here: {', '.join(known)})"
            yield (word,), FaultCode.UNKNOWN_KEY, message
    for word in (*rule.operands, *sorted(rule.required)):
        if word not in declared:
            what = "the field it looks at" if word in rule.operands else "a word of its own"
            yield (), FaultCode.MISSING_KEY, f"{name} has no {word}, {what}: add {word}:"
    if "on_failure" not in declared:
        message = f"{name} does not say what a failure means: add on_failure: reject, or on_failure: flag"
        yield (), FaultCode.MISSING_KEY, message
    elif declared["on_failure"] not in ON_FAILURE:
        message = f"unknown word {str(declared['on_failure'])[:60]} for on_failure; write one of: reject, flag"
        yield ("on_failure",), FaultCode.UNKNOWN_WORD, message


def _field(
    dataset: DatasetDraft, name: str, operand: str, wanted: Operand, path: Any
) -> tuple[AvroField | None, tuple[FaultCode, str] | None]:
    """Return the field of an operand where there is one, and why it cannot be that operand."""
    field = dataset.fields.get(path) if isinstance(path, str) else None
    if field is None:
        near = suggestion(path, dataset.fields)
        message = f"{operand} of {name} names {str(path)[:60]}, which the schema does not have{near}"
        return None, (FaultCode.UNKNOWN_FIELD, message)
    around = path.rpartition(".")[0]
    if around and dataset.fields[around].optional:
        message = f"{operand} of {name}: {path} is inside a record that may be null, and cannot be checked"
        return None, (FaultCode.CHECK_MISFIT, message)
    if field.kind not in wanted.kinds:
        kinds = ", ".join(sorted(wanted.kinds))
        message = f"{operand} of {name}: {path} is a {field.kind}; it has to be one of: {kinds}"
        return None, (FaultCode.CHECK_MISFIT, message)
    entry = dataset.entries.get(path)
    declared = None if entry is None else entry.format
    known = entry is not None and declared in (None, *FORMATS)
    if known and wanted.format is not None and declared != wanted.format:
        message = f"{operand} of {name}: {path} needs format: {wanted.format}, so that its form is known; add it there"
        return field, (FaultCode.CHECK_MISFIT, message)
    return field, None


def _together(name: str, fields: Mapping[str, AvroField]) -> Iterator[_Found]:
    """The operands are different fields and, where they are compared with each other, of one type."""
    paths = [field.path for field in fields.values()]
    for operand, field in list(fields.items())[1:]:
        if paths.count(field.path) > 1:
            message = f"{name} compares {field.path} with itself: name two fields"
            yield (operand,), FaultCode.CHECK_MISFIT, message
    if name == "date_order":
        first, then = fields["first"].schema, fields["then"].schema
        if first["logicalType"] != then["logicalType"]:
            message = f"date_order compares a {first['logicalType']} with a {then['logicalType']}: both have to be one"
            yield ("then",), FaultCode.CHECK_MISFIT, message


def _settings_faults(
    draft: Draft, dataset: DatasetDraft, name: str, declared: Mapping[str, Any], fields: Mapping[str, AvroField]
) -> Iterator[_Found]:
    if name == "id_of_sex" and "is" in declared and declared["is"] not in SEXES:
        message = f"unknown word {str(declared['is'])[:60]} for is; write one of: {', '.join(SEXES)}"
        yield ("is",), FaultCode.UNKNOWN_WORD, message
    if name == "sex_of_id":
        for word, usual in SEXES.items():
            code = declared.get(word, int(usual) if fields["sex"].kind in ("int", "long") else usual)
            problem = _no_value_of(draft, dataset, fields["sex"], code)
            if problem is not None:
                remedy = "" if word in declared else f"; say which code is {word}: add {word}:"
                yield (word,), FaultCode.CHECK_MISFIT, f"{word} of {name}: {problem}{remedy}"
        if str(declared.get("male", MALE)) == str(declared.get("female", FEMALE)):
            yield (), FaultCode.CHECK_MISFIT, f"{name} has one code for both sexes: write male: and female:"
    if name == "value_set":
        yield from _value_set_faults(draft, dataset, declared, fields["field"])


def _value_set_faults(
    draft: Draft, dataset: DatasetDraft, declared: Mapping[str, Any], field: AvroField
) -> Iterator[_Found]:
    entry = dataset.entries.get(field.path)
    if "values" not in declared:
        if entry is not None and entry.codes is None:
            message = (
                f"value_set of {field.path} has no values, and the field no code list: add values: [...] or codes:"
            )
            yield (), FaultCode.MISSING_KEY, message
        return
    values = declared["values"]
    if not isinstance(values, list) or not values:
        yield ("values",), FaultCode.WRONG_VALUE, "values of value_set: a list with at least one value is expected"
        return
    for number, value in enumerate(values):
        problem = _no_value_of(draft, dataset, field, value)
        if problem is None and value in values[:number]:
            problem = f"{value} stands twice"
        if problem is not None:
            yield ("values", number), FaultCode.CHECK_MISFIT, f"values of value_set: {problem}"


def _no_value_of(draft: Draft, dataset: DatasetDraft, field: AvroField, value: Any) -> str | None:
    """Return why *field* can never have *value*, or None."""
    if isinstance(value, Ambiguous):
        return None  # said where the file was read
    if field.kind in ("int", "long"):
        if not isinstance(value, int) or isinstance(value, bool):
            return f"{field.path} is compared with whole numbers"
    elif not isinstance(value, str):
        return f"{field.path} is compared with texts: write it in quotes"
    elif field.kind == "enum":
        return None if value in field.symbols else f"{value} is no symbol of {field.path}"
    entry = dataset.entries.get(field.path)
    codes = draft.vocabulary.code_lists.get(entry.codes) if entry is not None and entry.codes is not None else None
    return None if codes is None or str(value) in codes else f"{value} is not in the code list of {field.path}"
