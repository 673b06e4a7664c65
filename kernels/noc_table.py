"""Columns of the tables that a network of routers works on, and what can come of its work."""

from __future__ import annotations

DONE = 0
STOPPED = 1
STUCK = 2
OUT_OF_ORDER = 3
TOO_LATE = 4
LIMIT = 1 << 61
NOBODY = -1  # no packet follows
NEVER = 1 << 62
MOST_VCS = 62  # those of a channel are bits of one word

# A flit, from the lowest bit: number in its packet, whether it is the tail, whether its packet is measured,
# destination, packet. The routers so need not look into the table of packets, which is far larger than any cache.
FLIT_BITS = 20
TAIL_BIT = 1 << FLIT_BITS
LOW = TAIL_BIT - 1
MEASURED_BIT = TAIL_BIT << 1
DESTINATION_AT = FLIT_BITS + 2
DESTINATION_BITS = 12
MOST_DESTINATIONS = 1 << DESTINATION_BITS
PACKET_AT = DESTINATION_AT + DESTINATION_BITS
MOST_PACKETS = 1 << 29

# A route, a key of an arbitration: a number above, what it is for below. The smallest key wins.
CLASS_BITS = 8
CLASS_MASK = (1 << CLASS_BITS) - 1
KEY_BITS = 32

# Columns of settings.
F_VCS = 0
F_VC_BITS = 1
F_BUFFER = 2
F_SPEEDUP = 3
F_WAITS = 4
F_MEASURE_FROM = 5
F_MEASURE_TO = 6
F_STOP = 7
F_TERMINALS = 8
N_SETTING = 9

# Columns of channels. Changed: bits of the virtual channels that are free, and of those whose tail was sent; turn of
# the switch inputs, smallest key of a request for the switch, last who asks for a virtual channel. Fixed: first of its
# virtual channels among those out of its router; switch inputs, virtual channels in and out of that router; index
# among its outputs; cycles of a flit and of a credit; at the other end, first of its virtual channels among those into
# that router, and outputs of that router; routers at both ends or -1 (a terminal).
C_FREE = 0
C_TAILS = 1
C_TURN = 2
C_BEST = 3
C_ASKER = 4
C_FIRST = 5
C_LANES_IN = 6
C_VCS_IN = 7
C_VCS_OUT = 8
C_OUT = 9
C_FLIT_CYCLES = 10
C_CREDIT_CYCLES = 11
C_FIRST_IN = 12
C_TO_OUTPUTS = 13
C_FROM = 14
C_TO = 15
N_CHANNEL = 16

# Columns of vcs, one cache line a virtual channel. Its receiver: flit at the front, flits, where those behind the front
# begin in queues; virtual channel won on the way (its row; -1: none), route, turn of the virtual channels out. Its
# sender: credits, turn of those who ask.
V_FRONT = 0
V_COUNT = 1
V_HEAD = 2
V_TARGET = 3
V_ROUTE = 4
V_TURN = 5
V_CREDITS = 6
V_ASKERS_TURN = 7
N_VC = 8

# Columns of lanes, the inputs of the switches: turn of the outputs, turn of its virtual channels, smallest key of a
# grant. Fixed: number among the inputs of its switch.
L_TURN = 0
L_VC_TURN = 1
L_BEST = 2
L_LOCAL = 3
N_LANE = 4

# Rows of lists. Who asks for a virtual channel: its row, who asked for the same channel before it, what it is offered.
# Who competes for the switch: row, key.
ASKING = 0
BEFORE = 1
OFFER = 2
READY = 3
KEY = 4
N_LIST = 5

# Columns of packets, of delivered and of sources (cycle in which the next packet is due, its row, next flit, last
# virtual channel); registers.
P_CREATED = 0
P_DESTINATION = 1
P_FLITS = 2
D_INJECTED = 0
D_ARRIVED = 1
D_FLITS = 2
S_DUE = 0
S_NEXT = 1
S_FLIT = 2
S_VC = 3
N_SOURCE = 4
R_CYCLE = 0
R_LIVE = 1
R_TO_MEASURE = 2
R_EJECTED = 3
R_ERROR = 4
R_FLIT_HOPS = 5
R_ASKING = 6
R_READY = 7
N_REGS = 8
