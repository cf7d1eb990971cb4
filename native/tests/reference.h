// What the engine must give, one element at a time: to be read beside spec/streams.md and spec/kinds.md.
// It shares nothing with the kernels but the types of plan.h and the table of normal numbers.
// Compile it with -ffp-contract=off: every product and every sum is rounded on its own.
#pragma once
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "normal_table.h"
#include "plan.h"

namespace noisegate::reference {

using Words = std::array<std::uint32_t, 4>;

inline std::uint32_t lower(std::uint64_t number) { return static_cast<std::uint32_t>(number & 0xFFFFFFFF); }
inline std::uint32_t upper(std::uint64_t number) { return static_cast<std::uint32_t>(number >> 32); }

// Philox4x32-10. Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
inline Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t first = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t third = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {upper(third) ^ counter[1] ^ key0, lower(third), upper(first) ^ counter[3] ^ key1, lower(first)};
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    return counter;
}

struct PlaneKey {
    std::uint32_t first, second;
};

inline PlaneKey plane_key(const Key &key, std::uint32_t plane) {
    const Words block =
        philox({lower(key.hash), upper(key.hash), key.call, plane}, lower(key.seed), upper(key.seed));
    return {block[0], block[1]};
}

// The 16 bits of an element in a plane.
inline std::uint32_t lane(PlaneKey key, std::uint64_t row, std::uint64_t offset, std::uint32_t step) {
    const Words block = philox({lower(offset >> 3), lower(row), upper(row), step}, key.first, key.second);
    const std::uint32_t word = block[(offset & 7) / 2];
    return offset & 1 ? word >> 16 : word & 0xFFFF;
}

// One random number of every element.
struct Stream {
    PlaneKey high, low;
    std::uint32_t step;

    Stream(const Key &key, std::uint32_t number)
        : high(plane_key(key, 2 * number)), low(plane_key(key, 2 * number + 1)), step(key.step) {}

    std::uint32_t at(std::uint64_t row, std::uint64_t offset) const {
        return lane(high, row, offset, step) << 16 | lane(low, row, offset, step);
    }
};

inline float uniform(std::uint32_t word) {
    const double odd = 2.0 * static_cast<double>(word >> 8) + 1.0 - 0x1p24;
    return static_cast<float>(odd / 0x1p24);
}

// See spec/normal.md.
inline float normal(std::uint32_t word) {
    const std::uint32_t v = word << 1 | 1;
    std::uint32_t octave = 31;
    while (!(v >> octave & 1)) --octave;
    const std::uint32_t t = lower(std::uint64_t{v} << (31 - octave) << 1);
    const std::uint64_t row = NORMAL[32 * octave + (t >> 27)];
    const std::uint64_t a = row & 0xFFFFFFFF, d = row >> 32 & 0xFFFF, c = row >> 48;
    const std::uint64_t f = t >> 11 & 0xFFFF, g = f * (65535 - f) >> 16;
    const auto magnitude = static_cast<std::int64_t>(a - ((d * f + c * g) >> 10));
    return static_cast<float>(word >> 31 ? -magnitude : magnitude) * 0x1p-27f;
}

// --- Numbers as they are stored ---

// A format of 16 bits: how many digits a number has, and the exponents of normal numbers.
struct Format {
    int digits, least, greatest;
};
constexpr Format HALF{11, -14, 15}, BRAIN{8, -126, 127};

inline double value_of_16(std::uint64_t bits, Format format) {
    const int fraction_bits = format.digits - 1;
    const std::uint64_t ones = (std::uint64_t{1} << (15 - fraction_bits)) - 1, exponent = bits >> fraction_bits & ones;
    const double fraction = static_cast<double>(bits & ((std::uint64_t{1} << fraction_bits) - 1));
    double magnitude;
    if (exponent == ones) {
        magnitude = fraction != 0 ? std::nan("") : HUGE_VAL;
    } else if (exponent == 0) {
        magnitude = std::ldexp(fraction, format.least - fraction_bits);
    } else {
        magnitude = std::ldexp(fraction + std::ldexp(1.0, fraction_bits),
                               static_cast<int>(exponent) - 1 + format.least - fraction_bits);
    }
    return bits >> 15 ? -magnitude : magnitude;
}

// To nearest, ties to even.
inline std::uint64_t bits_of_16(double value, Format format) {
    const int fraction_bits = format.digits - 1;
    const std::uint64_t sign = std::signbit(value) ? 0x8000 : 0;
    const std::uint64_t infinite = std::uint64_t{0x7FFF} >> fraction_bits << fraction_bits;
    if (std::isnan(value)) return infinite | 1;
    if (std::isinf(value)) return sign | infinite;
    if (value == 0) return sign;
    const int own = std::ilogb(value), exponent = own < format.least ? format.least : own;
    // In units of the last digit. One too many carries into the exponent, as it should.
    const auto units =
        static_cast<std::uint64_t>(std::nearbyint(std::ldexp(std::fabs(value), fraction_bits - exponent)));
    const std::uint64_t bits = units + (static_cast<std::uint64_t>(exponent - format.least) << fraction_bits);
    return sign | (bits < infinite ? bits : infinite);
}

inline double value_of(std::uint64_t bits, Type type) {
    switch (type) {
    case Type::half: return value_of_16(bits, HALF);
    case Type::brain: return value_of_16(bits, BRAIN);
    case Type::single: {
        const std::uint32_t narrow = lower(bits);
        float value;
        std::memcpy(&value, &narrow, sizeof value);
        return static_cast<double>(value);
    }
    default: {
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    }
}

inline std::uint64_t bits_of_float(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The bits of a result of a computation, which is in float32 but for float64.
inline std::uint64_t stored(double value, Type type) {
    switch (type) {
    case Type::half: return bits_of_16(value, HALF);
    case Type::brain: return bits_of_16(value, BRAIN);
    case Type::single: return bits_of_float(static_cast<float>(value));
    default: {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    }
}

inline bool is_number(Type type) { return type <= Type::double_; }
inline bool is_nan(std::uint64_t bits, Type type) { return is_number(type) && std::isnan(value_of(bits, type)); }

inline std::uint64_t load(const unsigned char *from, std::size_t size) {
    std::uint64_t bits = 0;
    std::uint32_t four;
    std::uint16_t two;
    switch (size) {
    case 1: return *from;
    case 2: std::memcpy(&two, from, 2); return two;
    case 4: std::memcpy(&four, from, 4); return four;
    default: std::memcpy(&bits, from, 8); return bits;
    }
}

inline void store(unsigned char *to, std::uint64_t bits, std::size_t size) {
    const auto four = static_cast<std::uint32_t>(bits);
    const auto two = static_cast<std::uint16_t>(bits);
    switch (size) {
    case 1: *to = static_cast<unsigned char>(bits); break;
    case 2: std::memcpy(to, &two, 2); break;
    case 4: std::memcpy(to, &four, 4); break;
    default: std::memcpy(to, &bits, 8);
    }
}

// --- What is done with the noise ---

inline bool reads(Action action) { return action < Action::mask; }
inline bool draws_number(Action action) {
    return action == Action::gain || action == Action::shift || action == Action::number;
}

inline std::size_t size_of_result(const Recipe &recipe) {
    switch (recipe.action) {
    case Action::mask: return 1;
    case Action::number: return 4;
    case Action::word: return 8;
    default: return size_of(recipe.type);
    }
}
// The type of a result, for comparisons: NaN is compared as NaN where it was computed with.
inline Type type_of_result(const Recipe &recipe) {
    const bool computed = recipe.action == Action::masked || recipe.action == Action::gain || recipe.action == Action::shift;
    return computed ? recipe.type : Type::bits64;
}

// One element computed with, in the precision of Number.
template <class Number>
std::uint64_t computed(const Recipe &recipe, bool keep, float z, std::uint64_t bits) {
    const auto x = static_cast<Number>(value_of(bits, recipe.type));
    const Affine &affine = recipe.affine;
    Number y;
    if (recipe.action == Action::masked) {
        y = x * static_cast<Number>(affine.gain);
        if (affine.adds) y = y + static_cast<Number>(affine.shift);
        if (!keep) y = affine.fills ? static_cast<Number>(affine.fill) : Number{0};
    } else {
        Number noise = static_cast<Number>(z) * static_cast<Number>(recipe.factor);
        noise = noise + static_cast<Number>(recipe.plus);
        y = recipe.action == Action::gain ? x * noise : x + noise;
    }
    return stored(static_cast<double>(y), recipe.type);
}

// One element's result: of its first and second random word, and the bits of x.
inline std::uint64_t element(const Recipe &recipe, std::uint32_t word, std::uint32_t second, const Byte *given,
                             std::uint64_t x) {
    const bool keep = given ? *given != 0 : word >= recipe.threshold;
    float z = 0;
    if (draws_number(recipe.action)) z = recipe.source == Source::normal ? normal(word) : uniform(word);
    switch (recipe.action) {
    case Action::select: return keep ? x : recipe.fill;
    case Action::impulse: return keep ? x : second >= recipe.second_threshold ? recipe.other : recipe.fill;
    case Action::mask: return keep;
    case Action::number: return bits_of_float(z);
    case Action::word: return word;
    default:
        return recipe.type == Type::double_ ? computed<double>(recipe, keep, z, x)
                                            : computed<float>(recipe, keep, z, x);
    }
}

// Call a function with (x, y, given, row, offset) of every element: places of memory and of the field.
template <class F> void every(const std::vector<Axis> &axes, std::uint64_t first, const Rows &rows, F function) {
    for (const Axis &axis : axes) {
        if (axis.extent == 0) return;
    }
    std::vector<std::int64_t> index(axes.size(), 0);
    while (true) {
        std::int64_t x = 0, y = 0, given = 0;
        std::uint64_t offset = first, at = 0;
        for (std::size_t i = 0; i < axes.size(); ++i) {
            x += index[i] * axes[i].x;
            y += index[i] * axes[i].y;
            if (axes[i].role == Role::shared) continue;
            given += index[i] * axes[i].given;
            (axes[i].role == Role::row ? at : offset) += static_cast<std::uint64_t>(index[i] * axes[i].step);
        }
        function(x, y, given, rows.ids.empty() ? rows.start + rows.step * at : rows.ids[static_cast<std::size_t>(at)],
                 offset);
        std::size_t i = axes.size();
        while (i > 0 && ++index[i - 1] == axes[i - 1].extent) index[--i] = 0;
        if (i == 0) return;
    }
}

// What Plan(axes, first, rows).run(recipe, key, x, y, given, …) must do.
inline void run(const std::vector<Axis> &axes, std::uint64_t first, const Rows &rows, const Recipe &recipe,
                const Key &key, const void *x, void *y, const Byte *given) {
    const Stream stream(key, recipe.number), second(key, recipe.second_number);
    const auto from = static_cast<std::int64_t>(size_of(recipe.type)),
               to = static_cast<std::int64_t>(size_of_result(recipe));
    every(axes, first, rows,
          [&](std::int64_t at_x, std::int64_t at_y, std::int64_t at_given, std::uint64_t row, std::uint64_t offset) {
              std::uint64_t bits = 0;
              if (reads(recipe.action)) {
                  bits = load(static_cast<const unsigned char *>(x) + at_x * from, size_of(recipe.type));
              }
              const std::uint32_t word = given ? 0 : stream.at(row, offset);
              const std::uint32_t coin = recipe.action == Action::impulse ? second.at(row, offset) : 0;
              store(static_cast<unsigned char *>(y) + at_y * to,
                    element(recipe, word, coin, given ? given + at_given : nullptr, bits), size_of_result(recipe));
          });
}

}  // namespace noisegate::reference
