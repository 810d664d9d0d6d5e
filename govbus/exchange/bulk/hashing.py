"""HMAC-SHA256 (RFC 2104, FIPS 180-4) in compiled code, for pseudonyms: a call from Python costs more than the hash."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from govbus.exchange.bulk.columns import BYTES_IN, OPTIONS, WORDS, compiled

_INITIAL = np.array(
    [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19], np.uint32
)


def _cube_roots() -> list[int]:
    """Return SHA-256's constants: the first 32 bits of the fractions of the cube roots of the first 64 primes."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
    found = []
    for prime in primes:
        low, high = 0, 1 << 40
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**3 <= prime << 96 else (low, middle)
        found.append(low & 0xFFFFFFFF)
    return found


_ROUND = np.array(_cube_roots(), np.uint32)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8).copy()


@compiled
def rotated(word, bits):
    return (word >> np.uint32(bits)) | (word << np.uint32(32 - bits))


@compiled
def compress(state, words):
    """Take one block of SHA-256 (FIPS 180-4, 6.2.2) into *state*; the first 16 of *words* are the block."""
    for n in range(16, 64):
        one, two = words[n - 15], words[n - 2]
        small0 = rotated(one, 7) ^ rotated(one, 18) ^ (one >> np.uint32(3))
        small1 = rotated(two, 17) ^ rotated(two, 19) ^ (two >> np.uint32(10))
        words[n] = words[n - 16] + small0 + words[n - 7] + small1
    a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    for n in range(64):
        big1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
        t1 = np.uint32(h + big1 + ((e & f) ^ (~e & g)) + _ROUND[n] + words[n])
        big0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
        t2 = np.uint32(big0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@compiled
def pseudonym(value, at, end, states, view, shown, to, state, words):
    """Write 32 hex digits of HMAC-SHA256 (RFC 2104) under the view's key to *shown*; return where they end."""
    for n in range(8):
        state[n] = states[view, n]
    bits = np.uint64(8 * (64 + end - at))
    finished = ended = False
    while not finished:
        for n in range(16):
            word = np.uint32(0)
            for _ in range(4):
                byte = np.uint32(0)
                if at < end:
                    byte = np.uint32(value[at])
                elif not ended:
                    byte = np.uint32(0x80)
                    ended = True
                at += 1
                word = (word << np.uint32(8)) | byte
            words[n] = word
        # The length fits behind the ending bit only where eight bytes of the block were left over.
        if at - end >= 9:
            words[14] = np.uint32(bits >> np.uint64(32))
            words[15] = np.uint32(bits & np.uint64(0xFFFFFFFF))
            finished = True
        compress(state, words)
    for n in range(8):
        words[n] = state[n]
        state[n] = states[view, 8 + n]
    words[8] = np.uint32(0x80000000)
    for n in range(9, 15):
        words[n] = np.uint32(0)
    words[15] = np.uint32(8 * (64 + 32))
    compress(state, words)
    for n in range(4):
        for nibble in range(8):
            shown[to] = _HEX[(state[n] >> np.uint32(28 - 4 * nibble)) & np.uint32(15)]
            to += 1
    return to


@njit([types.void(BYTES_IN, WORDS, WORDS)], cache=True, **OPTIONS)
def hash_block(block, state, words):
    """Put SHA-256's state after its first block of 64 bytes into *state*."""
    for n in range(16):
        words[n] = np.uint32(0)
        for m in range(4):
            words[n] = (words[n] << np.uint32(8)) | np.uint32(block[4 * n + m])
    for n in range(8):
        state[n] = _INITIAL[n]
    compress(state, words)
