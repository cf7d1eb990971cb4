// Plain C++: what every compiler takes, in arrays that it may make vectors of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage.h"

namespace noisegate::portable {

constexpr char NAME[] = "portable";
constexpr std::size_t BLOCKS = 4;
constexpr std::size_t WIDE = 4;

// One word of each block's counter, in the low halves of 64 bits; the high halves are anything.
struct Word {
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
    return words([=](std::size_t i) { return first + i; });
}
inline Word next(const Word &word, std::uint32_t by) {
    return words([&](std::size_t i) { return word.v[i] + by; });
}
inline Word load(const std::uint32_t *from) {
    return words([=](std::size_t i) { return from[i]; });
}
inline Word times(const Word &word, std::uint32_t factor) {
    return words([&](std::size_t i) { return (word.v[i] & 0xFFFFFFFFu) * factor; });
}
inline Word high(const Word &product) {
    return words([&](std::size_t i) { return product.v[i] >> 32; });
}
inline Word low(const Word &product) { return product; }
inline Word mix(const Word &a, const Word &b) {
    return words([&](std::size_t i) { return a.v[i] ^ b.v[i]; });
}
inline Word mix(const Word &a, const Word &b, const Word &c) { return mix(a, mix(b, c)); }

// The 16-bit lanes of BLOCKS blocks, in order.
struct Lanes {
    std::uint16_t v[8 * BLOCKS];
};

inline Lanes lanes(const Word &w0, const Word &w1, const Word &w2, const Word &w3) {
    Lanes result;
    const Word *const all[4] = {&w0, &w1, &w2, &w3};
    for (std::size_t i = 0; i < BLOCKS; ++i) {
        for (std::size_t w = 0; w < 4; ++w) {
            result.v[8 * i + 2 * w] = static_cast<std::uint16_t>(all[w]->v[i]);
            result.v[8 * i + 2 * w + 1] = static_cast<std::uint16_t>(all[w]->v[i] >> 16);
        }
    }
    return result;
}

// Write where lanes are at least `top`; return whether one equals it.
inline bool at_least(const Lanes &lanes, std::uint32_t top, std::uint8_t *out) {
    bool equal = false;
    for (std::size_t i = 0; i < 8 * BLOCKS; ++i) {
        out[i] = lanes.v[i] >= top ? 0xFF : 0;
        equal |= lanes.v[i] == top;
    }
    return equal;
}

// Four numbers of 32 bits.
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
// By 32 and more nothing is left.
inline Wide left(const Wide &a, const Wide &by) {
    return wides([&](std::size_t i) { return by.v[i] < 32 ? a.v[i] << by.v[i] : 0; });
}
inline Wide sign(const Wide &a) {
    return wides([&](std::size_t i) { return 0 - (a.v[i] >> 31); });
}
// How many zeros stand before the first one.
inline Wide leading_zeros(const Wide &a) {
    return wides([&](std::size_t i) {
        std::uint32_t value = a.v[i], zeros = 0;
        for (std::uint32_t half = 16; half; half >>= 1) {
            if (value >> (32 - half) == 0) {
                zeros += half;
                value <<= half;
            }
        }
        return zeros;
    });
}

// The low and the high halves of rows of a table of 64-bit numbers.
inline void look_up(const std::uint64_t *table, const Wide &row, Wide &low, Wide &high) {
    for (std::size_t i = 0; i < WIDE; ++i) {
        const std::uint64_t found = table[row.v[i]];
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
inline Float where(const std::uint8_t *keep, const Float &a) {
    return floats([&](std::size_t i) { return float_of_bits(keep[i] ? bits_of_float(a.v[i]) : 0); });
}
inline Float where(const std::uint8_t *keep, const Float &a, const Float &other) {
    return floats([&](std::size_t i) { return keep[i] ? a.v[i] : other.v[i]; });
}

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
inline Double where(const std::uint8_t *keep, const Double &a) {
    return doubles([&](std::size_t i) { return keep[i] ? a.v[i] : 0.0; });
}
inline Double where(const std::uint8_t *keep, const Double &a, const Double &other) {
    return doubles([&](std::size_t i) { return keep[i] ? a.v[i] : other.v[i]; });
}

}  // namespace noisegate::portable
