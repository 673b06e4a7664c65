"""Columns of the tables in which wavelets on a line of PEs are written down, and what they can hold."""

from __future__ import annotations

FROM_WEST = 0
FROM_EAST = 1
FROM_CORE = 2
N_SIDES = 3
TO_EAST = 1
TO_WEST = 2
TO_CORE = 4

I_IN = 0  # colour taken from, NONE for none
I_OUT = 1  # colour sent on, NONE for none
I_WAVELETS = 2
I_START = 3  # cycles from the end of the instruction before to the first wavelet
I_PACE = 4  # cycles a wavelet
N_INSTRUCTION = 5
NONE = -1

T_BEGIN = 0
T_ELIGIBLE = 1
T_END = 2
T_WAIT_IN = 3
T_WAIT_OUT = 4
N_TIMES = 5

R_RAMP = 0  # settings: cycles of the ramp, wavelets that a router holds by colour and side, cycle to give up at
R_ROUTER = 1
R_LIMIT = 2
N_SETTINGS = 3

C_AT = 0
C_DONE = 1
C_NEXT = 2
C_REASON = 3
C_SINCE = 4
C_WAKE = 5  # cycle before which it need not be looked at
N_CORE = 6

Q_HEAD = 0
Q_COUNT = 1
Q_FIRST = 2

L_NOW = 0
L_NEXT = 1

N_HOPS = 0  # counts: wavelets over links, up and down ramps, cycle reached
N_UP = 1
N_DOWN = 2
N_CYCLES = 3
N_COUNTS = 4

MOST_COLOURS = 21  # N_SIDES bits each in a word
DONE = 0
STUCK = 1
NO_ROUTE = 2
TOO_LONG = 3
NEVER = 1 << 62
