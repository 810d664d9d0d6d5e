"""What the columns of the tables mean, the codes that stand in them, and how kernels are compiled."""

from __future__ import annotations

from numba import njit, types

# What a slot holds. A slot that may be null has the index of null in `NULL_INDEX`, else -1.
BOOLEAN, INT, LONG, FIXED, BYTES, STRING, ENUM = range(7)
KIND, NULL_INDEX, SIZE, FORMAT = range(4)
"""Columns of the table of slots; `SIZE`: bytes of a fixed, symbols of an enum."""

NO_FORMAT, CITIZEN_ID, USCC, PARTY_ID = range(4)

# What stands for a field in a view.
COPY, KEEP, DIVISION, DATE, BAND, PSEUDONYM = range(6)
OPERATION, FIRST_SLOT, END_SLOT, FIRST, LAST = range(5)
"""Columns of the table of parts; `FIRST` and `LAST` are what the mask is declared with."""

# What a record does to a view.
UNCHANGED, UPSERTED, RETRACTED = range(3)

PARTS_BEGIN, PARTS_END, CLEAR_KEY = range(3)
"""Columns of the table of views."""

LONGEST_MASK = 48
"""No mask makes a value longer than it is by more bytes than this: a band of two 64-bit numbers is the longest."""

FRAME_BYTES = 5

BYTES_IN = types.Array(types.uint8, 1, "C", readonly=True)
TABLE = types.Array(types.int64, 2, "C")
COLUMN = types.Array(types.int64, 1, "C")
FLAGS = types.Array(types.uint8, 1, "C")
WORDS = types.Array(types.uint32, 1, "C")

# Nothing is allocated in here, so nobody need count references to the arrays: counting them took half the time.
OPTIONS = {"nogil": True, "_nrt": False}
compiled = njit(nogil=True, _nrt=False)
