"""Quantities: what a schema's annotation says about a number, and the conversion to its base unit.

A schema writes `latency: Femtoseconds`; to a type checker that is `int`, to the loader it is a time, converted exactly
from any unit of time and refused where it is negative, fractional or something other than a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, TypeVar

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.unit import conversion

INTEGER_TOLERANCE = Fraction(1, 10**9)  # relative; forgives a decimal fraction such as 0.7 x 1.1, not a wrong value
LARGEST_INTEGER = 2**63 - 1  # kernels count in int64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a number must be.

    noun: the field's word with its article, for messages. units: base units; more than one where a part may count in
    either (MAC or op), and the written unit chooses. example: a unit to show in messages. least: smallest value
    allowed, in base units (exclusive if `least_excluded`). most: largest value allowed, or None.
    """

    noun: str
    units: tuple[str, ...]
    example: str
    integer: bool
    least: int | None = 0
    least_excluded: bool = True
    most: int | None = None

    @property
    def unitless(self) -> bool:
        """Whether a bare number without unit may be given on the command line."""
        return self.units == ("1",)

    def base_unit(self, unit: str) -> str:
        """Return the base unit that a written unit converts to; InputError where none does."""
        for base in self.units:
            if conversion(unit, base) is not None:
                return base
        raise InputError("wrong dimension", expected=f"{self.noun} such as '{self.example}'", value=unit)

    def convert(self, value: object, unit: str) -> int | float:
        """Return the value in base units: an int where the quantity counts, else a float."""
        return self.checked(exact(value) * self.scale(unit), value)

    def scale(self, unit: str) -> Fraction:
        """Return what one of a written unit is in base units."""
        scale = conversion(unit, self.base_unit(unit))
        assert scale is not None
        return scale

    def checked(self, amount: Fraction, written: object) -> int | float:
        """Return an amount in base units as int or float; InputError where it is out of bounds or not whole."""
        number = self._whole(amount, written) if self.integer else _to_float(amount, written)
        if self.least is not None and (amount < self.least or (self.least_excluded and amount == self.least)):
            raise InputError("too small", expected=f"{self.noun} {self._bound()}", value=written)
        if self.most is not None and amount > self.most:
            raise InputError("too large", expected=f"{self.noun} of at most {self.most}", value=written)
        return number

    def _whole(self, amount: Fraction, written: object) -> int:
        number = round(amount)
        if abs(amount - number) > abs(amount) * INTEGER_TOLERANCE:
            expected = f"{self.noun}, a whole number of {self._base()}"
            raise InputError("not a whole number", expected=expected, value=written)
        if abs(number) > LARGEST_INTEGER:
            raise InputError("too large", expected=f"{self.noun} below 2**63 {self._base()}", value=written)
        return number

    def _base(self) -> str:
        return "ones" if self.unitless else self.units[0]

    def _bound(self) -> str:
        return f"greater than {self.least}" if self.least_excluded else f"of at least {self.least}"


@dataclass(frozen=True, slots=True)
class Wording:
    """A parameter that is words: free text, or one of the choices of its `Literal`."""

    noun: str


def exact(value: object) -> Fraction:
    """Return a number as the decimal that was written, exactly; InputError where it is not a finite number."""
    if isinstance(value, bool):
        raise InputError("a truth value where a number is due", expected="a number", value=value)
    if isinstance(value, str):
        raise InputError("text where a number is due", expected="a number without quotes", value=value)
    if not isinstance(value, int | float):
        raise InputError("not a number", expected="a number", value=value)
    if not math.isfinite(value):
        raise InputError("not finite", expected="a finite number", value=value)
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def _to_float(amount: Fraction, written: object) -> float:
    try:
        return float(amount)
    except OverflowError:
        raise InputError("too large", expected="a number below 1.8e308 in base units", value=written) from None


def _positive(noun: str, *units: str, example: str, integer: bool = True) -> Quantity:
    return Quantity(noun, units, example, integer)


def _nonnegative(noun: str, *units: str, example: str, integer: bool = True) -> Quantity:
    return Quantity(noun, units, example, integer, least_excluded=False)


Count = Annotated[int, _positive("a count", "1", example="1")]
Ratio = Annotated[float, Quantity("a ratio", ("1",), "1", integer=False, most=1)]
Number = Annotated[float, Quantity("a number", ("1",), "1", integer=False, least=None)]
Factor = Annotated[float, _nonnegative("a factor", "1", example="1", integer=False)]
Femtoseconds = Annotated[int, _nonnegative("a time", "fs", example="ns")]
Cycles = Annotated[int, _nonnegative("a number of cycles", "cycle", example="cycle")]
Hertz = Annotated[int, _positive("a frequency", "Hz", example="GHz")]
Bits = Annotated[int, _positive("a number of bits", "bit", example="bit")]
Bytes = Annotated[int, _positive("a capacity", "B", example="GiB")]
BitRate = Annotated[int, _positive("a bit rate", "bit/s", example="Gbit/s")]
ByteRate = Annotated[int, _positive("a byte rate", "B/s", example="GB/s")]
BytesPerCycle = Annotated[int, _positive("a width", "B/cycle", example="B/cycle")]
OpsPerCycle = Annotated[int, _positive("an operation rate", "op/cycle", "MAC/cycle", example="MAC/cycle")]
MacsPerCycle = Annotated[int, _positive("a MAC rate", "MAC/cycle", example="MAC/cycle")]
MacRate = Annotated[int, _positive("a MAC rate", "MAC/s", example="TFLOP/s")]
Milliwatts = Annotated[int, _nonnegative("a power", "mW", example="W")]
Millivolts = Annotated[int, _positive("a voltage", "mV", example="mV")]
Femtojoules = Annotated[int, _nonnegative("an energy", "fJ", example="pJ")]
FemtojoulesPerByte = Annotated[int, _nonnegative("an energy per byte", "fJ/B", example="pJ/B")]
FemtojoulesPerBit = Annotated[float, _nonnegative("an energy per bit", "fJ/bit", example="pJ/bit", integer=False)]
FemtojoulesPerMac = Annotated[int, _nonnegative("an energy per MAC", "fJ/MAC", example="pJ/MAC")]
FemtojoulesPerOp = Annotated[int, _nonnegative("an energy per operation", "fJ/op", example="pJ/op")]
Millimetres = Annotated[int, _nonnegative("a length", "mm", example="mm")]
SquareMillimetres = Annotated[float, _positive("an area", "mm2", example="mm2", integer=False)]
Dollars = Annotated[float, _nonnegative("a price", "USD", example="USD", integer=False)]
DollarsPerHour = Annotated[float, _nonnegative("a price per hour", "USD/hour", example="USD/hour", integer=False)]
DollarsPerKilowattHour = Annotated[
    float, _nonnegative("a price of energy", "USD/kWh", example="USD/kWh", integer=False)
]
Hours = Annotated[float, _positive("a span of time", "hour", example="year", integer=False)]
AtLeastOne = Annotated[float, Quantity("a factor", ("1",), "1", integer=False, least=1, least_excluded=False)]
Text = Annotated[str, Wording("text")]
Choice = Annotated[T, Wording("a choice")]  # Choice[Literal["near", "far"]]
