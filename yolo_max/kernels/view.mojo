"""Feature maps as the kernels read them: a few channel slices of tensors, one after the other.

    channels of the view   0 ........ 31 | 32 ............. 95 | 96 ... 127
    slice                  of tensor a   |  of tensor b        | of tensor c, doubled

Split, concat and nearest upsampling are such views; whoever reads one gathers its channels into *planes*, the
layout every inner loop works on:

    plane 0: channels 0..15 of one pixel, of the next pixel, ...     plane 1: channels 16..31 of ...

Channels that pad the last plane are the reader's to zero, once: gathering leaves them alone.
"""

from .lanes import BLOCK, Ptr, line, prefetch


@fieldwise_init
struct Slice[T: DType](Copyable, ImplicitlyCopyable, Movable):
    """Consecutive channels of an NHWC tensor, at its size or doubled by nearest neighbour."""

    var data: Ptr[Self.T]
    """The first channel taken, of the first pixel."""
    var stride: Int
    """Channels of the tensor: from one pixel to the next."""
    var channels: Int
    var doubled: Bool
    var height: Int
    """Of the tensor, before doubling."""
    var width: Int

    @always_inline
    def pixel(self, image: Int, y: Int, x: Int) -> Ptr[Self.T]:
        """The pixel at (y, x) of the view."""
        var shift = 1 if self.doubled else 0
        var index = (image * self.height + (y >> shift)) * self.width + (x >> shift)
        return self.data.unsafe_offset(index * self.stride)


struct View[T: DType](Movable):
    """A feature map [batch, height, width, channels] made of slices."""

    var slices: List[Slice[Self.T]]
    var batch: Int
    var height: Int
    var width: Int
    var channels: Int

    def __init__(out self, batch: Int, height: Int, width: Int):
        self.slices = List[Slice[Self.T]]()
        self.batch = batch
        self.height = height
        self.width = width
        self.channels = 0

    def append(mut self, slice: Slice[Self.T]):
        """Appends the channels of one more slice."""
        self.slices.append(slice)
        self.channels += slice.channels

    @always_inline
    def blocks(self) -> Int:
        """Planes that hold the channels, the last one perhaps in part."""
        return (self.channels + BLOCK - 1) // BLOCK

    @always_inline
    def pixels(self) -> Int:
        """Pixels of the whole batch."""
        return self.batch * self.height * self.width

    def doubled_channels(self) -> Int:
        """How many channels at the beginning are doubled, if they fill whole blocks; or else 0."""
        var channels = 0
        for i in range(len(self.slices)):
            if not self.slices[i].doubled:
                break
            channels += self.slices[i].channels
        return channels if channels % BLOCK == 0 else 0

    def before_doubling(self, channels: Int) -> Self:
        """The first channels, which are doubled, as they are before that."""
        var view = Self(self.batch, self.height // 2, self.width // 2)
        for i in range(len(self.slices)):
            if view.channels < channels:
                var slice = self.slices[i]
                slice.doubled = False
                view.append(slice)
        return view^

    def part(self, first: Int, count: Int) -> Self:
        """`count` channels from the first one on."""
        var view = Self(self.batch, self.height, self.width)
        var position = 0
        for i in range(len(self.slices)):
            var slice = self.slices[i]
            var skipped = max(0, first - position)
            var end = min(slice.channels, first + count - position)
            position += slice.channels
            if skipped < end:
                slice.data = slice.data.unsafe_offset(skipped)
                slice.channels = end - skipped
                view.append(slice)
        return view^

    def is_plain(self) -> Bool:
        """Whether it is one slice as it stands, of whole blocks: then it can be read in place."""
        return len(self.slices) == 1 and not self.slices[0].doubled and self.channels % BLOCK == 0


@always_inline
def copy_channels[T: DType](source: Ptr[T], planes: Ptr[T], position: Int, count: Int, plane_stride: Int):
    """Copies one pixel's `count` channels to channel `position` and on of planes that lie `plane_stride` apart."""
    if (position | count) % BLOCK == 0:
        var q = planes.unsafe_offset(position // BLOCK * plane_stride)
        for i in range(0, count, BLOCK):
            q.unsafe_store(0, source.unsafe_load[width=BLOCK](i))
            q = q.unsafe_offset(plane_stride)
        return
    comptime HALF = BLOCK // 2
    if (position | count) % HALF == 0:
        for i in range(0, count, HALF):
            var at = position + i
            var q = planes.unsafe_offset(at // BLOCK * plane_stride + at % BLOCK)
            q.unsafe_store(0, source.unsafe_load[width=HALF](i))
        return
    var done = 0
    while done < count:
        var at = position + done
        var lane = at % BLOCK
        var n = min(BLOCK - lane, count - done)
        var q = planes.unsafe_offset(at // BLOCK * plane_stride + lane)
        for i in range(n):
            q[unsafe_offset=i] = source[unsafe_offset=done + i]
        done += n


@no_inline
def gather_row[
    T: DType
](view: View[T], image: Int, y: Int, first: Int, step: Int, planes: Ptr[T], plane_stride: Int):
    """Gathers the pixels first, first + step, ... of row y, one after another in the planes."""
    var position = 0
    for i in range(len(view.slices)):
        var slice = view.slices[i]
        var q = planes
        for x in range(first, view.width, step):
            copy_channels(slice.pixel(image, y, x), q, position, slice.channels, plane_stride)
            q = q.unsafe_offset(BLOCK)
        position += slice.channels


@no_inline
def gather_pixels[T: DType](view: View[T], first: Int, count: Int, planes: Ptr[T], plane_stride: Int):
    """Gathers `count` pixels of the batch, taken as one long row, from pixel `first` on.

    As many behind them are prefetched: the next call reads those, once these have been used.
    """
    var position = 0
    for i in range(len(view.slices)):
        var slice = view.slices[i]
        if slice.doubled:
            for j in range(count):
                var row = (first + j) // view.width
                var x = (first + j) % view.width
                var p = slice.pixel(row // view.height, row % view.height, x)
                copy_channels(p, planes.unsafe_offset(j * BLOCK), position, slice.channels, plane_stride)
        else:
            var p = slice.data.unsafe_offset(first * slice.stride)
            for j in range(count):
                for channel in range(0, slice.channels, line[T]()):
                    prefetch(p.unsafe_offset(count * slice.stride + channel))
                copy_channels(p, planes.unsafe_offset(j * BLOCK), position, slice.channels, plane_stride)
                p = p.unsafe_offset(slice.stride)
        position += slice.channels


@no_inline
def gather_patch[T: DType](view: View[T], image: Int, top: Int, left: Int, side: Int, patch: Ptr[T]):
    """Gathers side x side pixels as one NHWC tensor of whole blocks, zeros outside of the map."""
    var channels = view.blocks() * BLOCK
    var first = max(0, -left)
    var last = min(side, view.width - left)
    for r in range(side):
        var row = patch.unsafe_offset(r * side * channels)
        var y = top + r
        if y < 0 or y >= view.height:
            clear_blocks(row, side * channels)
            continue
        clear_blocks(row, first * channels)
        clear_blocks(row.unsafe_offset(last * channels), (side - last) * channels)
        var position = 0
        for i in range(len(view.slices)):
            var slice = view.slices[i]
            var q = row.unsafe_offset(first * channels)
            if slice.doubled:
                for x in range(left + first, left + last):
                    copy_channels(slice.pixel(image, y, x), q, position, slice.channels, BLOCK)
                    q = q.unsafe_offset(channels)
            else:
                var p = slice.pixel(image, y, left + first)
                for _ in range(first, last):
                    copy_channels(p, q, position, slice.channels, BLOCK)
                    p = p.unsafe_offset(slice.stride)
                    q = q.unsafe_offset(channels)
            position += slice.channels


@always_inline
def clear_blocks[T: DType](p: Ptr[T], count: Int):
    """Makes `count` elements zero, which are whole blocks."""
    for i in range(0, count, BLOCK):
        p.unsafe_store(i, SIMD[T, BLOCK](0))
