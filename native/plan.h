// Where the elements of an array are in memory and in the noise field, and the walk over both.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace noisegate {

// What an axis of an array is to the noise: the same number for all; counted by the offset; the row.
enum class Role : std::uint8_t { shared, offset, row };

// An axis: how many, how far apart in the input and the output (in elements), and, but for shared
// ones, in the offset or among the rows; and in a mask that is given.
struct Axis {
    Role role;
    std::int64_t extent, x, y, step, given;
};

// The row of a sample: start + step · index, or the id that a list has at the index.
struct Rows {
    std::uint64_t start = 0, step = 1;
    std::vector<std::uint64_t> ids;
};

// What is done with the noise; see spec/kinds.md.
enum class Action : std::uint8_t {
    masked,   // keep ? gain · x + shift : fill
    select,   // keep ? x : fill, as bits
    impulse,  // keep ? x : second keep ? other : fill, as bits
    gain,     // x · (factor · z + plus)
    shift,    // x + (factor · z + plus)
    mask,     // what is kept, as bytes of 0 and 1; the input is not read
    number,   // z, as float32
    word,     // u32, as int64
};
enum class Source : std::uint8_t { uniform, normal };

struct Recipe {
    Action action;
    Type type;
    Source source = Source::uniform;
    std::uint32_t number = 0, second_number = 0;        // of an element's random numbers
    std::uint64_t threshold = 0, second_threshold = 0;  // in [0, 2³²]
    Affine affine{1.0, 0.0, 0.0, false, false};
    double factor = 1.0, plus = -0.0;
    std::uint64_t fill = 0, other = 0;  // bits
};

struct Key {
    std::uint64_t seed, hash;
    std::uint32_t call, step;
};

// Steps that replace the key's, each for one of `count` equal parts of the arrays: a part begins `x` bytes
// of the input and `y` of the output after the one before.
struct Parts {
    const std::uint32_t *steps;
    std::int64_t count, x, y;
};

// A function to be called with parts of [0, count), and what does so, on several threads.
using Body = void (*)(std::int64_t begin, std::int64_t end, void *context);
using ParallelFor = void (*)(std::int64_t count, std::int64_t grain, Body, void *context);

// Elements of noise that are drawn before they are applied: they stay in the first-level cache.
constexpr std::int64_t TILE = 4096;
// One thread does what is smaller: waking others costs more. Of more, each takes so many at the least.
constexpr std::int64_t SMALL = 1 << 16;
constexpr std::int64_t GRAIN = 1 << 14;

// The walk over one array's noise. Nothing of it changes, so threads may share it.
class Plan {
  public:
    // Axes as the array has them; `first` is the offset of its first element.
    Plan(std::vector<Axis> axes, std::uint64_t first, Rows rows);

    // Put noise on x, or draw it, into y. A mask that is `given` takes the place of the first number's
    // (masked, select and mask).
    void run(const Recipe &, const Key &, const void *x, void *y, const Byte *given, const Kernels &,
             ParallelFor) const;

    // The same for several steps, on parts that have the plan's geometry each; threads share all parts.
    void run_steps(const Recipe &, const Key &, const Parts &, const void *x, void *y, const Byte *given,
                   const Kernels &, ParallelFor) const;

    std::int64_t size() const { return size_; }

  private:
    friend class Walk;

    // An axis of the noise that tiles cut: a tile has `chunk` of it, or what is left at its end.
    struct Cut {
        Axis axis;
        std::int64_t chunk, tiles;
        std::int64_t dense;  // how far apart in a tile
    };
    // A loop within a tile, outermost first: over `count` times what a tile has of `cut`, or over
    // `count` of what is shared.
    struct Loop {
        std::int64_t cut, count, dense, x, y;
    };

    void cut(std::vector<Axis> noise, std::int64_t repeats);
    void nest(const std::vector<Axis> &shared);
    void split();

    std::vector<Cut> cuts_;  // the last one is the run: offsets that follow each other
    std::vector<Loop> loops_;
    std::uint64_t first_;
    Rows rows_;
    std::int64_t size_ = 1, tiles_ = 1, parts_ = 1, split_ = -1, part_ = 0;
};

// DropBlock's spread: out[o, i, :] is set where in[o, i … i + block − 1, :] all are; bytes.
void spread(const Byte *in, Byte *out, std::int64_t outer, std::int64_t extent, std::int64_t inner,
            std::int64_t block);

}  // namespace noisegate
