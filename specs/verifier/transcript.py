"""Merlin transcripts: keccak-f[1600], the part of STROBE-128 that merlin 3 uses, and merlin itself."""

_MASK = 2**64 - 1
_RATE = 166


def _constants():
    round_constants, register = [], 1
    for _ in range(24):
        c = 0
        for j in range(7):
            if register & 1:
                c |= 1 << ((1 << j) - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        round_constants.append(c)
    rotations, (x, y) = [[0] * 5 for _ in range(5)], (1, 0)
    for t in range(24):
        rotations[x][y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return round_constants, rotations


_ROUNDS, _ROTATIONS = _constants()


def _rotate(v, n):
    return (v << n | v >> (64 - n)) & _MASK if n else v


def keccak_f(state):
    """Keccak-f[1600] on a bytearray of 200."""
    a = [[int.from_bytes(state[8 * (x + 5 * y):8 * (x + 5 * y) + 8], "little") for y in range(5)] for x in range(5)]
    for constant in _ROUNDS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[x - 1] ^ _rotate(c[(x + 1) % 5], 1) for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = _rotate(a[x][y] ^ d[x], _ROTATIONS[x][y])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    for x in range(5):
        for y in range(5):
            state[8 * (x + 5 * y):8 * (x + 5 * y) + 8] = a[x][y].to_bytes(8, "little")


class _Strobe:
    """STROBE-128 with the operations meta-AD, AD and PRF."""

    I, A, C, T, M, K = 1, 2, 4, 8, 16, 32

    def __init__(self, label):
        self.state = bytearray(200)
        self.state[:18] = bytes([1, _RATE + 2, 1, 0, 1, 96]) + b"STROBEv1.0.2"
        keccak_f(self.state)
        self.pos = self.begin = 0
        self.meta_ad(label, False)

    def _run(self):
        self.state[self.pos] ^= self.begin
        self.state[self.pos + 1] ^= 0x04
        self.state[_RATE + 1] ^= 0x80
        keccak_f(self.state)
        self.pos = self.begin = 0

    def _absorb(self, data):
        for byte in data:
            self.state[self.pos] ^= byte
            self.pos += 1
            if self.pos == _RATE:
                self._run()

    def _operate(self, flags, more):
        if more:
            return
        old, self.begin = self.begin, self.pos + 1
        self._absorb(bytes([old, flags]))
        if flags & (self.C | self.K) and self.pos:
            self._run()

    def meta_ad(self, data, more):
        self._operate(self.M | self.A, more)
        self._absorb(data)

    def ad(self, data):
        self._operate(self.A, False)
        self._absorb(data)

    def prf(self, n):
        self._operate(self.I | self.A | self.C, False)
        out = bytearray()
        for _ in range(n):
            out.append(self.state[self.pos])
            self.state[self.pos] = 0
            self.pos += 1
            if self.pos == _RATE:
                self._run()
        return bytes(out)


class Transcript:
    """A merlin 3 transcript."""

    def __init__(self, label):
        self._strobe = _Strobe(b"Merlin v1.0")
        self.append(b"dom-sep", label)

    def append(self, label, message):
        self._strobe.meta_ad(label, False)
        self._strobe.meta_ad(len(message).to_bytes(4, "little"), True)
        self._strobe.ad(message)

    def append_u64(self, label, number):
        self.append(label, number.to_bytes(8, "little"))

    def challenge(self, label, n):
        self._strobe.meta_ad(label, False)
        self._strobe.meta_ad(n.to_bytes(4, "little"), True)
        return self._strobe.prf(n)
