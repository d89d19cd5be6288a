"""Processors that graphs are compiled for ahead of time.

Code that a processor cannot run ends the process without a word, so what a target needs is compared with what
this machine says it has before such code is loaded. MAX compiles for its own machine's kind only.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu
from yolo_max.support.errors import UsageError
from yolo_max.support.text import nearest

_V3 = frozenset(
    {
        *("abm", "avx", "avx2", "bmi1", "bmi2", "cx16", "f16c", "fma", "lahf_lm", "movbe", "pni", "popcnt"),
        *("sse4_1", "sse4_2", "ssse3", "xsave"),
    }
)
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
_BF16 = _V4 | {"3dnowprefetch", "adx", "aes", "avx512_bf16", "avx512_vnni", "pclmulqdq"}
_ZEN4 = _BF16 | {
    *("avx512_bitalg", "avx512_vbmi2", "avx512_vpopcntdq", "avx512ifma", "avx512vbmi", "gfni", "rdpid"),
    *("sha_ni", "sse4a", "vaes", "vpclmulqdq"),
}


class CpuTarget(NamedTuple):
    """A processor to compile for.

    Attributes:
        name: LLVM's name of it.
        features: What code for it may use, by Linux' names: all of the name's that a compiler uses unasked.
            That is not ``rdrand`` and ``rdseed``, of which Linux hides the second on Zen 5 (AMD-SB-7055).
        about: Which processors have that.
    """

    name: str
    features: frozenset[str]
    about: str

    @property
    def missing(self) -> tuple[str, ...]:
        """What this machine's processor lacks of that, sorted."""
        if platform.machine() not in ("x86_64", "AMD64"):
            return (self.name,)
        return tuple(sorted(self.features - cpu.features()))

    def computes(self, precision: Precision) -> bool:
        """Whether it has the instructions for this precision."""
        return precision is Precision.F32 or "avx512_bf16" in self.features


TARGETS = {
    target.name: target
    for target in (
        CpuTarget("znver4", _ZEN4, "AMD Zen 4 and 5"),
        CpuTarget("cooperlake", _BF16, "AVX-512 with bf16 instructions: Sapphire Rapids, Zen 4"),
        CpuTarget("x86-64-v4", _V4, "AVX-512: Skylake-X and later, Zen 4"),
        CpuTarget("x86-64-v3", _V3, "AVX2: Haswell and later, Zen"),
    )
}
"""By name, the most special first. With AVX-512 the kernels divide on AMD's processors and do not on Intel's:
only code for AMD's has the bits there that code compiled there has."""


def runnable(precision: Precision) -> list[CpuTarget]:
    """The targets whose code runs here in a precision, the fastest first."""
    return [each for each in TARGETS.values() if not each.missing and each.computes(precision)]


def target_named(name: str) -> CpuTarget:
    """A target by its name.

    Raises:
        UsageError: There is none.
    """
    if name in TARGETS:
        return TARGETS[name]
    close = nearest(name, TARGETS)
    instead = f"did you mean {close}?" if close else f"use one of {', '.join(TARGETS)}."
    raise UsageError(f"there is no target {name!r}; {instead}")
