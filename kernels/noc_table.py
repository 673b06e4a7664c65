"""Columns of the tables that a network of routers works on, and what can come of its work."""

from __future__ import annotations

DONE = 0
STOPPED = 1
STUCK = 2
OUT_OF_ORDER = 3
TOO_LATE = 4
LIMIT = 1 << 61

# A flit, from the lowest bit: number in its packet, whether it is the tail, destination, packet. The routers so need
# not look into the table of packets, which is far larger than any cache.
FLIT_BITS = 20
TAIL_BIT = 1 << FLIT_BITS
LOW = TAIL_BIT - 1
DESTINATION_AT = FLIT_BITS + 1
DESTINATION_BITS = 12
MOST_DESTINATIONS = 1 << DESTINATION_BITS
PACKET_AT = DESTINATION_AT + DESTINATION_BITS
MOST_PACKETS = 1 << 30

# Columns of channels: router or -1 (a terminal), index among the router's outputs or inputs, cycles, fan.
C_FROM = 0
C_TO = 1
C_OUT = 2
C_IN = 3
C_FLIT_CYCLES = 4
C_CREDIT_CYCLES = 5
C_FROM_INPUTS = 6
C_TO_OUTPUTS = 7
N_CHANNEL = 8

# Columns of vcs. Receiver: queue, row of the virtual channel won (-1: none), channel wanted and the range of its
# virtual channels, pointer, scratch. Sender: credits, whether the tail was sent, pointer. Never changed: channel,
# number, number among the virtual channels into the router, row in switch, number among the router's switch inputs.
V_HEAD = 0
V_COUNT = 1
V_TARGET = 2
V_WANTED = 3
V_LOW = 4
V_HIGH = 5
V_ACCEPT = 6
V_BEST = 7
V_CREDITS = 8
V_TAIL_SENT = 9
V_GRANT = 10
V_CHANNEL = 11
V_NUMBER = 12
V_LOCAL = 13
V_LANE = 14
V_LANE_LOCAL = 15
N_VC = 16

# Columns of switch. Row channel * input_speedup + lane: accept pointer, turn of the virtual channels, best grant.
# Row channel: grant pointer of that output.
X_ACCEPT = 0
X_TURN = 1
X_BEST = 2
X_GRANT = 3
N_SWITCH = 4

# Columns of asked. Row i: i-th channel with requests. Row channel: requests for a virtual channel,
# for the switch, listed?
A_COUNT = 0
A_VC = 1
A_SWITCH = 2
A_LISTED = 3
N_ASKED = 4

# Columns of grants: channel, virtual channel row granted, switch input, its distance from the accept pointer.
G_CHANNEL = 0
G_VC = 1
G_INPUT = 2
G_KEY = 3
N_GRANT = 4

# Columns of packets, of delivered and of sources; registers.
P_CREATED = 0
P_DESTINATION = 1
P_FLITS = 2
D_INJECTED = 0
D_ARRIVED = 1
D_FLITS = 2
S_NEXT = 0
S_END = 1
S_FLIT = 2
S_VC = 3
S_CHANNEL = 4
R_CYCLE = 0
R_LIVE = 1
R_IN_FLIGHT = 2
R_TO_MEASURE = 3
R_EJECTED = 4
R_ACTIVE = 5
R_ERROR = 6
R_FLIT_HOPS = 7
R_TERMINALS = 8
N_REGS = 9
