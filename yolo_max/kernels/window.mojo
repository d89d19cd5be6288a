"""The geometry of a convolution, whatever computes it."""


@fieldwise_init
struct Window(Copyable, ImplicitlyCopyable, Movable):
    """A square kernel, padding kernel // 2."""

    var kernel: Int
    var stride: Int

    @always_inline
    def padding(self) -> Int:
        return self.kernel // 2

    @always_inline
    def outputs(self, size: Int) -> Int:
        """How many outputs a row or column of `size` inputs has."""
        return (size + 2 * self.padding() - self.kernel) // self.stride + 1
