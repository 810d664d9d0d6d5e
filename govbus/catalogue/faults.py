"""Every way a declaration can be wrong, and every warning, once: code and meaning. The reference shows this table."""

from __future__ import annotations

from enum import StrEnum


class FaultCode(StrEnum):
    """What `govbus check` refuses; `docs/declarations.md` lists them with their meaning."""

    # Files
    MALFORMED_FILE = "malformed_file"
    DUPLICATE_KEY = "duplicate_key"
    AMBIGUOUS_VALUE = "ambiguous_value"
    UNEXPECTED_FILE = "unexpected_file"
    DANGLING_FILE = "dangling_file"
    NAME_MISMATCH = "name_mismatch"
    # Words and values
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_WORD = "unknown_word"
    MISSING_KEY = "missing_key"
    WRONG_VALUE = "wrong_value"
    MISSING_LEGAL_BASIS = "missing_legal_basis"
    MISSING_PURPOSE = "missing_purpose"
    RESERVED_NAME = "reserved_name"
    NAME_TOO_LONG = "name_too_long"
    INVALID_CODE = "invalid_code"
    DUPLICATE_CODE = "duplicate_code"
    # Datasets, their fields and schemas
    DUPLICATE_DATASET = "duplicate_dataset"
    UNDOCUMENTED_FIELD = "undocumented_field"
    FIELD_NOT_IN_SCHEMA = "field_not_in_schema"
    SECRET_FIELD = "secret_field"
    UNKNOWN_OWNER = "unknown_owner"
    UNKNOWN_FORMAT = "unknown_format"
    UNKNOWN_CODE_LIST = "unknown_code_list"
    TYPE_MISFIT = "type_misfit"
    UNKNOWN_ENTITY = "unknown_entity"
    UNKNOWN_ELEMENT = "unknown_element"
    INVALID_COMPARATOR = "invalid_comparator"
    ELEMENT_MISFIT = "element_misfit"
    CODES_MISFIT = "codes_misfit"
    BOUND_TWICE = "bound_twice"
    NO_AUTHORITY = "no_authority"
    SECOND_AUTHORITY = "second_authority"
    OVERLAPPING_AUTHORITY = "overlapping_authority"
    INVALID_SCHEMA = "invalid_schema"
    OPTIONAL_WITHOUT_DEFAULT = "optional_without_default"
    INCOMPATIBLE_SCHEMA = "incompatible_schema"
    FIXED_ONCE_APPLIED = "fixed_once_applied"
    INVALID_KEY = "invalid_key"
    UNKNOWN_RULE = "unknown_rule"
    CHECK_MISFIT = "check_misfit"
    MISSING_SAMPLE = "missing_sample"
    SAMPLE_REFUSED = "sample_refused"
    SAMPLE_ACCEPTED = "sample_accepted"
    # Grants and asks
    UNKNOWN_PURPOSE = "unknown_purpose"
    UNKNOWN_SUBSCRIBER = "unknown_subscriber"
    UNKNOWN_DATASET = "unknown_dataset"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_MASK = "unknown_mask"
    MASK_MISFIT = "mask_misfit"
    ABOVE_CLEARANCE = "above_clearance"
    NOT_SHARED = "not_shared"
    INVALID_STANDING = "invalid_standing"
    DUPLICATE_GRANT = "duplicate_grant"
    NEEDLESS_GRANT = "needless_grant"
    PURPOSE_NOT_GRANTED = "purpose_not_granted"
    FIELD_NOT_GRANTED = "field_not_granted"
    STANDING_NOT_GRANTED = "standing_not_granted"
    MASK_TOO_WEAK = "mask_too_weak"
    MASKS_INCOMPARABLE = "masks_incomparable"
    OVERLAPPING_FIELDS = "overlapping_fields"
    NOTHING_ASKED = "nothing_asked"
    INVALID_CONDITION = "invalid_condition"
    CONDITION_NOT_GRANTED = "condition_not_granted"
    CONDITION_MISFIT = "condition_misfit"
    TOPIC_COLLISION = "topic_collision"
    DELIVERY_COLLISION = "delivery_collision"


class WarningCode(StrEnum):
    """What `govbus check` lists without refusing: these asks deliver nothing, or soon will not."""

    NO_GRANT = "no_grant"
    GRANT_SUSPENDED = "grant_suspended"
    GRANT_ENDED = "grant_ended"
    GRANT_EXPIRED = "grant_expired"
    GRANT_ENDS_SOON = "grant_ends_soon"
    ASK_EXPIRED = "ask_expired"
    ASK_ENDS_SOON = "ask_ends_soon"


WARNING_DAYS = 30
"""From how many days before its last day on a grant or an ask is listed as ending soon."""

MEANING: dict[FaultCode | WarningCode, str] = {
    FaultCode.MALFORMED_FILE: (
        "The file is not UTF-8, not YAML or JSON, or not a mapping; or uses YAML beyond plain values "
        "(anchors, aliases, tags, several documents)."
    ),
    FaultCode.DUPLICATE_KEY: "A key or list entry stands twice; YAML readers would silently keep one of them.",
    FaultCode.AMBIGUOUS_VALUE: (
        "A plain value that YAML readers understand differently (yes, on, 0123, 1_000, 12:30), or a key "
        "that is not text: write it in quotes."
    ),
    FaultCode.UNEXPECTED_FILE: (
        "A file or folder that no rule reads; a misspelt name would otherwise be ignored in silence."
    ),
    FaultCode.DANGLING_FILE: (
        "A file whose counterpart is missing: a schema without dataset, a dataset without schema, a sample "
        "without schema, a folder without department.yaml or subscriber.yaml, a city without city.yaml."
    ),
    FaultCode.NAME_MISMATCH: "The name inside the file is not the name of its file or folder.",
    FaultCode.UNKNOWN_KEY: "A key that this file does not have; the nearest known one is suggested.",
    FaultCode.UNKNOWN_WORD: "A value outside its list of words; the nearest known one is suggested.",
    FaultCode.MISSING_KEY: "A required key is absent.",
    FaultCode.WRONG_VALUE: "A value of the wrong type or form.",
    FaultCode.MISSING_LEGAL_BASIS: (
        "A dataset, grant or ask without legal basis, or something not shared without the basis of the "
        "refusal (政务数据共享条例 Art. 15, 20)."
    ),
    FaultCode.MISSING_PURPOSE: "A grant or ask that states no purpose (Art. 20, 25).",
    FaultCode.RESERVED_NAME: (
        "A name the bus keeps for itself: fields not, all, any or with a leading underscore; departments bus and "
        "golden; an element called like its entity's identifier."
    ),
    FaultCode.NAME_TOO_LONG: "Topic names have at most 249 characters, table names in Postgres at most 63.",
    FaultCode.INVALID_CODE: (
        "A department's or subscriber's code is not a valid 统一社会信用代码 (GB 32100) of its kind."
    ),
    FaultCode.DUPLICATE_CODE: "Two bodies with one code, or one body with two.",
    FaultCode.DUPLICATE_DATASET: "Two datasets with one name in a department, or with one resource code.",
    FaultCode.UNDOCUMENTED_FIELD: (
        "A field of the schema that the dataset's file does not describe, or describes without title or grade."
    ),
    FaultCode.FIELD_NOT_IN_SCHEMA: "A described field that the schema does not have.",
    FaultCode.SECRET_FIELD: "State and work secrets do not travel on this bus (Art. 3).",
    FaultCode.UNKNOWN_OWNER: "A field's owner is not a department of the city.",
    FaultCode.UNKNOWN_FORMAT: "A format that govbus does not know.",
    FaultCode.UNKNOWN_CODE_LIST: "A code list that schemas/elements.yaml does not have.",
    FaultCode.TYPE_MISFIT: (
        "A format or code list on a field or element whose type cannot carry it, or an enum with a symbol outside its "
        "code list."
    ),
    FaultCode.UNKNOWN_ENTITY: "An element of an entity that schemas/elements.yaml does not have.",
    FaultCode.UNKNOWN_ELEMENT: "A field bound to an element that schemas/elements.yaml does not have.",
    FaultCode.INVALID_COMPARATOR: (
        "A comparator outside the vocabulary, parameters that it does not have, or one that does not compare the "
        "element's type."
    ),
    FaultCode.ELEMENT_MISFIT: (
        "A field bound to an element that it cannot carry (of another entity, of another type, inside a record that "
        "may be null), or sources of one element with different types."
    ),
    FaultCode.CODES_MISFIT: (
        "A bound field with other codes than its element and no code map between them, or a code map with codes that "
        "its lists do not have."
    ),
    FaultCode.BOUND_TWICE: "Two fields of one dataset bound to the same element.",
    FaultCode.NO_AUTHORITY: "An element of which no field is the source (一数一源, Art. 19).",
    FaultCode.SECOND_AUTHORITY: (
        "Two authoritative fields for one element, or one for the whole and one for some divisions (一数一源, Art. 19)."
    ),
    FaultCode.OVERLAPPING_AUTHORITY: "Sources of one element that are split by division and share some.",
    FaultCode.INVALID_SCHEMA: "The .avsc is not a valid Avro record schema, or uses what the bus does not carry.",
    FaultCode.OPTIONAL_WITHOUT_DEFAULT: 'An optional field that is not written ["null", T] with default null.',
    FaultCode.INCOMPATIBLE_SCHEMA: (
        "A schema change that readers or writers of an applied schema would not survive (FULL_TRANSITIVE)."
    ),
    FaultCode.FIXED_ONCE_APPLIED: (
        "A change of what stays as it was first applied: the city's partitions, a dataset's key; or an epoch that "
        "falls."
    ),
    FaultCode.INVALID_KEY: (
        "A key field that the schema does not have, that may be null or whose type makes no key; or a "
        "subject that is not the first key field."
    ),
    FaultCode.UNKNOWN_RULE: "A structural check by a rule that govbus does not know.",
    FaultCode.CHECK_MISFIT: (
        "A structural check of fields that cannot carry it (type, format, the same field twice), or with a value that "
        "its field can never have."
    ),
    FaultCode.MISSING_SAMPLE: "A schema without a passing or without a failing sample.",
    FaultCode.SAMPLE_REFUSED: "A .pass.json that validation refuses.",
    FaultCode.SAMPLE_ACCEPTED: "A .fail.json that validation accepts.",
    FaultCode.UNKNOWN_PURPOSE: "A purpose that schemas/elements.yaml does not have.",
    FaultCode.UNKNOWN_SUBSCRIBER: "A grant to a subscriber that consumers/ does not have.",
    FaultCode.UNKNOWN_DATASET: "An ask for a dataset that producers/ does not have, or a golden view of no entity.",
    FaultCode.UNKNOWN_FIELD: (
        "A grant, ask, condition, source or split authority that names a field the dataset does not have."
    ),
    FaultCode.UNKNOWN_MASK: "A mask outside the vocabulary.",
    FaultCode.MASK_MISFIT: "A mask that does not apply to the field's type.",
    FaultCode.ABOVE_CLEARANCE: (
        "A field graded above the subscriber's clearance, granted or asked for. Grades are compared before masking."
    ),
    FaultCode.NOT_SHARED: "A field or dataset that is not shared, granted or asked for.",
    FaultCode.INVALID_STANDING: (
        "A grant's standing that names a field which is not granted, or which is not the source of an element."
    ),
    FaultCode.DUPLICATE_GRANT: "Two grants of one dataset for the same subscriber and purpose.",
    FaultCode.NEEDLESS_GRANT: "A grant in an unconditionally shared dataset: it would limit nothing.",
    FaultCode.PURPOSE_NOT_GRANTED: "The owner grants this dataset to the subscriber, but for other purposes.",
    FaultCode.FIELD_NOT_GRANTED: "An ask for a field that the grant does not name.",
    FaultCode.STANDING_NOT_GRANTED: (
        "An ask for the standing of an element that the grant of its source does not list under standing."
    ),
    FaultCode.MASK_TOO_WEAK: "An ask whose mask reveals more than the grant allows.",
    FaultCode.MASKS_INCOMPARABLE: "The masks of ask and grant: neither covers the other.",
    FaultCode.OVERLAPPING_FIELDS: "A record and one of its own fields in one grant or ask.",
    FaultCode.NOTHING_ASKED: "A grant or ask that names no field, or drops every one.",
    FaultCode.INVALID_CONDITION: "A row condition outside the vocabulary.",
    FaultCode.CONDITION_NOT_GRANTED: (
        "An ask's condition on a field that it is not delivered, or not readably (null, pseudonym): "
        "presence of a row would tell what the field may not."
    ),
    FaultCode.CONDITION_MISFIT: (
        "A condition that its field can never meet: a test its type does not have, a value of another type "
        "or outside the code list, an empty range."
    ),
    FaultCode.TOPIC_COLLISION: (
        "Two topics whose names differ only in dots and underscores: Kafka refuses the second."
    ),
    FaultCode.DELIVERY_COLLISION: "Two asks delivered into one table or one folder.",
    WarningCode.NO_GRANT: "The owner has not granted this dataset to the subscriber: nothing is delivered.",
    WarningCode.GRANT_SUSPENDED: "The grant is suspended: nothing is delivered.",
    WarningCode.GRANT_ENDED: "The owner ended the grant: nothing is delivered.",
    WarningCode.GRANT_EXPIRED: "The grant's last day has passed: nothing is delivered.",
    WarningCode.GRANT_ENDS_SOON: f"The grant's last day is at most {WARNING_DAYS} days away.",
    WarningCode.ASK_EXPIRED: "The ask's own last day has passed: nothing is delivered.",
    WarningCode.ASK_ENDS_SOON: f"The ask's own last day is at most {WARNING_DAYS} days away.",
}
