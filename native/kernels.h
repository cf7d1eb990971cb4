// What every instruction set supplies: noise for runs of elements, and its application to strips.
#pragma once
#include <cstddef>
#include <cstdint>

namespace noisegate {

// How an element is stored. The last four are bits that are moved and never computed with.
enum class Type : std::uint8_t { half, brain, single, double_, bits8, bits16, bits32, bits64 };
constexpr std::size_t TYPES = 8;

constexpr std::size_t size_of(Type type) {
    constexpr std::size_t sizes[TYPES] = {2, 2, 4, 8, 1, 2, 4, 8};
    return sizes[static_cast<std::size_t>(type)];
}

// The key words of the two planes of a random number, and the step.
struct Number {
    std::uint32_t high[2], low[2], step;
};

// Where an element is kept: where its u32 is not below top · 2¹⁶ + bottom.
struct Threshold {
    std::uint32_t top, bottom;
};

// Blocks of the field: `count` that follow each other in a row; the same few of rows that follow each
// other, from `block` on, at a `step` that carries nothing into the high words; or any that a list names.
struct Run {
    std::uint32_t block, low, high;
};
struct Grid {
    std::uint32_t block, low, high, step;
    std::uint32_t blocks;  // of a row, from 2 to 64; times the rows, at most 2¹⁶
};
struct List {
    const std::uint32_t *block, *low, *high;
};

// `count` rows of `length` elements, the first of which are `lead` elements after the beginning of a block: how far
// apart their ids are, and they in x and in y, in elements.
struct Elements {
    std::size_t count, lead, length;
    std::uint64_t step;
    std::int64_t x, y;
};

// How many elements more than asked for a function may write, and read of what is not x or y.
constexpr std::size_t SLACK = 256;
// Lists are read up to the next multiple of this many blocks.
constexpr std::size_t GROUP = 16;

// y = keep ? gain · x + shift : fill, in the precision of the type.
struct Affine {
    double gain, shift, fill;
    bool adds, fills;
};

using Byte = std::uint8_t;  // of a mask: 0xFF where an element is kept, else 0

struct Kernels {
    const char *name;
    // Noise of `count` blocks, eight elements each, in order.
    void (*keep_run)(const Number &, Threshold, Run, std::size_t count, Byte *out);
    void (*keep_grid)(const Number &, Threshold, Grid, std::size_t count, Byte *out);
    void (*keep_list)(const Number &, Threshold, List, std::size_t count, Byte *out);
    void (*words_run)(const Number &, Run, std::size_t count, std::uint32_t *out);
    void (*words_grid)(const Number &, Grid, std::size_t count, std::uint32_t *out);
    void (*words_list)(const Number &, List, std::size_t count, std::uint32_t *out);
    // Copy rows of `length` bytes that lie `from_step` apart, to where they lie `to_step` apart, in order; what is
    // written too much is the next row's.
    void (*pack)(const void *from, std::size_t from_step, void *to, std::size_t to_step, std::size_t length,
                 std::size_t rows);
    // Words to numbers, in place: the words become floats.
    void (*uniform)(std::uint32_t *words, std::size_t count);
    void (*normal)(std::uint32_t *words, std::size_t count);
    // Strips of `count` elements, by type; those of bits have the last alone.
    // `masked` keeps all where there is no `keep`.
    void (*masked[TYPES])(std::size_t count, const void *x, void *y, const Byte *keep, const Affine &);
    void (*gain[TYPES])(std::size_t count, const void *x, void *y, const float *z, double factor, double plus);
    void (*shift[TYPES])(std::size_t count, const void *x, void *y, const float *z, double factor, double plus);
    // The same with the noise of rows of elements, drawn meanwhile.
    // y = keep ? gain · x : 0; and as `gain` and `shift`.
    void (*dropped[TYPES])(const Number &, Threshold, Run, Elements, const void *x, void *y, double gain);
    void (*gained[TYPES])(const Number &, bool normal, Run, Elements, const void *x, void *y, double factor, double plus);
    void (*shifted[TYPES])(const Number &, bool normal, Run, Elements, const void *x, void *y, double factor, double plus);
    // y = keep ? x : other ? second : first, as bits.
    void (*select[TYPES])(std::size_t count, const void *x, void *y, const Byte *keep, const Byte *other,
                          std::uint64_t first, std::uint64_t second);
};

// The best that this processor has; one by name, or nothing.
const Kernels &kernels();
const Kernels *kernels_named(const char *name);
// The bits of a number in a type that it is rounded to.
std::uint64_t bits_of(double value, Type type);

}  // namespace noisegate
