"""Both inner loops and nothing else, to look at what a processor gets: see test_kernels.py."""

from yolo_max.kernels.activation import SILU
from yolo_max.kernels.epilogue import Output
from yolo_max.kernels.lanes import BF16, BLOCK, F32, Ptr, Words, words
from yolo_max.kernels.microkernel import Filters, Taps, microkernel_panels


def run[T: DType](address: Int, n: Int):
    var p = Ptr[T](unsafe_from_address=address)
    var w = Words(unsafe_from_address=address)
    var output = Output[T](p, n)
    output.activation.kind = SILU
    microkernel_panels[T, words[T](BLOCK)](n, w, Taps(n, n), Filters(w, w, n), output, n)


@export
def assembly(address: Int, n: Int) abi("C"):
    run[F32](address, n)
    run[BF16](address, n)
