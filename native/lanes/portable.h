// Plain C++: what every compiler takes, in arrays that it may make vectors of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage.h"

namespace noisegate::portable {

constexpr char NAME[] = "portable";
// Long loops over arrays: short ones are unrolled before the compiler looks for vectors, and stay scalar.
constexpr std::size_t BLOCKS = 16;
constexpr std::size_t WIDE = 16;

// One word of each block's counter; a product of them.
struct Word {
    std::uint32_t v[BLOCKS];
};
struct Product {
    std::uint64_t v[BLOCKS];
};

template <class F> inline Word words(F function) {
    Word result;
    for (std::size_t i = 0; i < BLOCKS; ++i) result.v[i] = function(i);
    return result;
}

inline Word same(std::uint32_t word) {
    return words([=](std::size_t) { return word; });
}
inline Word counted(std::uint32_t first) {
    return words([=](std::size_t i) { return first + static_cast<std::uint32_t>(i); });
}
inline Word next(const Word &word, std::uint32_t by) {
    return words([&](std::size_t i) { return word.v[i] + by; });
}
inline Word plus(const Word &a, const Word &b) {
    return words([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
inline Word minus(const Word &a, const Word &b) {
    return words([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
inline Word load(const std::uint32_t *from) {
    return words([=](std::size_t i) { return from[i]; });
}
inline Product times(const Word &word, std::uint32_t factor) {
    Product result;
    for (std::size_t i = 0; i < BLOCKS; ++i) result.v[i] = std::uint64_t{word.v[i]} * factor;
    return result;
}
inline Word high(const Product &product) {
    return words([&](std::size_t i) { return static_cast<std::uint32_t>(product.v[i] >> 32); });
}
inline Word low(const Product &product) {
    return words([&](std::size_t i) { return static_cast<std::uint32_t>(product.v[i]); });
}
inline Word mix(const Word &a, const Word &b) {
    return words([&](std::size_t i) { return a.v[i] ^ b.v[i]; });
}
inline Word mix(const Word &a, const Word &b, const Word &c) {
    return words([&](std::size_t i) { return a.v[i] ^ b.v[i] ^ c.v[i]; });
}

// The 16-bit lanes of BLOCKS blocks, in order.
struct Lanes {
    std::uint16_t v[8 * BLOCKS];
};

inline Lanes lanes(const Word &w0, const Word &w1, const Word &w2, const Word &w3) {
    std::uint32_t all[4 * BLOCKS];
    for (std::size_t i = 0; i < BLOCKS; ++i) {
        all[4 * i] = w0.v[i];
        all[4 * i + 1] = w1.v[i];
        all[4 * i + 2] = w2.v[i];
        all[4 * i + 3] = w3.v[i];
    }
    Lanes result;
    for (std::size_t i = 0; i < 4 * BLOCKS; ++i) {
        result.v[2 * i] = static_cast<std::uint16_t>(all[i]);
        result.v[2 * i + 1] = static_cast<std::uint16_t>(all[i] >> 16);
    }
    return result;
}

// Write where lanes are at least `top`; return whether one equals it.
inline bool at_least(const Lanes &lanes, std::uint32_t top, std::uint8_t *out) {
    const auto t = static_cast<std::uint16_t>(top);
    std::uint8_t kept[8 * BLOCKS];
    std::uint16_t equal = 0;
    for (std::size_t i = 0; i < 8 * BLOCKS; ++i) kept[i] = lanes.v[i] >= t ? 0xFF : 0;
    for (std::size_t i = 0; i < 8 * BLOCKS; ++i) equal = static_cast<std::uint16_t>(equal | (lanes.v[i] == t));
    std::memcpy(out, kept, sizeof kept);
    return equal != 0;
}

// Sixteen numbers of 32 bits.
struct Wide {
    std::uint32_t v[WIDE];
};

template <class F> inline Wide wides(F function) {
    Wide result;
    for (std::size_t i = 0; i < WIDE; ++i) result.v[i] = function(i);
    return result;
}

// Write high · 2¹⁶ + low of every lane, in order.
inline void join(const Lanes &high, const Lanes &low, std::uint32_t *out) {
    for (std::size_t i = 0; i < 8 * BLOCKS; ++i) {
        out[i] = static_cast<std::uint32_t>(high.v[i]) << 16 | low.v[i];
    }
}

inline Wide load_wide(const std::uint32_t *p) {
    return wides([=](std::size_t i) { return p[i]; });
}
inline Wide wide(std::uint32_t value) {
    return wides([=](std::size_t) { return value; });
}
inline Wide operator&(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] & b.v[i]; });
}
inline Wide operator|(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] | b.v[i]; });
}
inline Wide operator^(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] ^ b.v[i]; });
}
inline Wide operator+(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
inline Wide operator-(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
inline Wide operator*(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
// The high halves of products of numbers of 16 bits.
inline Wide high16(const Wide &a, const Wide &b) {
    return wides([&](std::size_t i) { return (a.v[i] & 0xFFFF) * (b.v[i] & 0xFFFF) >> 16; });
}
template <int N> inline Wide left(const Wide &a) {
    return wides([&](std::size_t i) { return a.v[i] << N; });
}
template <int N> inline Wide right(const Wide &a) {
    return wides([&](std::size_t i) { return a.v[i] >> N; });
}
inline Wide left(const Wide &a, const Wide &by) {
    return wides([&](std::size_t i) { return a.v[i] << (by.v[i] & 31); });
}
inline Wide sign(const Wide &a) {
    return wides([&](std::size_t i) { return 0 - (a.v[i] >> 31); });
}
// How many zeros stand before the first one, for odd numbers: as in avx2.h.
inline Wide leading_zeros(const Wide &a) {
    float first[WIDE];
    for (std::size_t i = 0; i < WIDE; ++i) {
        const std::uint32_t half = a.v[i] >> 1;
        first[i] = static_cast<float>(static_cast<std::int32_t>(half & ~(half >> 1)));
    }
    Wide bits;
    std::memcpy(bits.v, first, sizeof first);
    return wides([&](std::size_t i) {
        const std::uint32_t exponent = bits.v[i] >> 23;
        return 157 - (exponent < 126 ? 126 : exponent);
    });
}

// The low and the high halves of rows of a table of 64-bit numbers.
inline void look_up(const std::uint64_t *table, const std::uint32_t *rows, Wide &low, Wide &high) {
    for (std::size_t i = 0; i < WIDE; ++i) {
        const std::uint64_t found = table[rows[i]];
        low.v[i] = static_cast<std::uint32_t>(found);
        high.v[i] = static_cast<std::uint32_t>(found >> 32);
    }
}

struct Float {
    float v[WIDE];
};

template <class F> inline Float floats(F function) {
    Float result;
    for (std::size_t i = 0; i < WIDE; ++i) result.v[i] = function(i);
    return result;
}

inline Float to_float(const Wide &integers) {
    return floats([&](std::size_t i) { return static_cast<float>(static_cast<std::int32_t>(integers.v[i])); });
}
inline Float same(float value) {
    return floats([=](std::size_t) { return value; });
}
inline Float operator*(const Float &a, const Float &b) {
    return floats([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
inline Float operator+(const Float &a, const Float &b) {
    return floats([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
inline Float load(const float *p) {
    return floats([=](std::size_t i) { return p[i]; });
}
inline void store(float *p, const Float &a) { std::memcpy(p, a.v, sizeof a.v); }

inline Float load(const Half *p) {
    return floats([=](std::size_t i) { return from_half(p[i]); });
}
inline void store(Half *p, const Float &a) {
    for (std::size_t i = 0; i < WIDE; ++i) p[i] = to_half(a.v[i]);
}
inline Float load(const Brain *p) {
    return floats([=](std::size_t i) { return float_of_bits(static_cast<std::uint32_t>(p[i].bits) << 16); });
}
inline void store(Brain *p, const Float &a) {
    for (std::size_t i = 0; i < WIDE; ++i) p[i] = to_brain(a.v[i]);
}
// As bits, where a branch would go either way.
template <class Bits, class Number> inline Number chosen(const std::uint8_t *keep, const Number &a, const Number &other) {
    constexpr std::size_t size = sizeof(Number) / sizeof(Bits);
    Bits yes[size], no[size];
    std::memcpy(yes, a.v, sizeof yes);
    std::memcpy(no, other.v, sizeof no);
    for (std::size_t i = 0; i < size; ++i) {
        const auto mask = static_cast<Bits>(static_cast<std::int8_t>(keep[i]));
        yes[i] = (yes[i] & mask) | (no[i] & ~mask);
    }
    Number result;
    std::memcpy(result.v, yes, sizeof yes);
    return result;
}
inline Float where(const std::uint8_t *keep, const Float &a, const Float &other) {
    return chosen<std::uint32_t>(keep, a, other);
}
inline Float where(const std::uint8_t *keep, const Float &a) { return where(keep, a, Float{}); }

struct Double {
    double v[WIDE / 2];
};
template <class F> inline Double doubles(F function) {
    Double result;
    for (std::size_t i = 0; i < WIDE / 2; ++i) result.v[i] = function(i);
    return result;
}
inline Double same(double value) {
    return doubles([=](std::size_t) { return value; });
}
inline Double operator*(const Double &a, const Double &b) {
    return doubles([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
inline Double operator+(const Double &a, const Double &b) {
    return doubles([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
inline Double load(const double *p) {
    return doubles([=](std::size_t i) { return p[i]; });
}
inline void store(double *p, const Double &a) { std::memcpy(p, a.v, sizeof a.v); }
inline Double widened(const float *p) {
    return doubles([=](std::size_t i) { return static_cast<double>(p[i]); });
}
inline Double where(const std::uint8_t *keep, const Double &a, const Double &other) {
    return chosen<std::uint64_t>(keep, a, other);
}
inline Double where(const std::uint8_t *keep, const Double &a) { return where(keep, a, Double{}); }

}  // namespace noisegate::portable
