"""Both inner loops and nothing else, to look at what a processor gets: see test_kernels.py."""

from yolo_max.kernels.lanes import BF16, F32, Ptr, Words, words
from yolo_max.kernels.microkernel import Filters, Output, Taps, microkernel_panels


def run[T: DType](address: Int, n: Int):
    var p = Ptr[T](unsafe_from_address=address)
    var w = Words(unsafe_from_address=address)
    microkernel_panels[T, words[T](16)](n, w, Taps(n, n), Filters(w, w, n), Output[T](p, n, p, n, True, True, False), n)


@export
def assembly(address: Int, n: Int) abi("C"):
    run[F32](address, n)
    run[BF16](address, n)
