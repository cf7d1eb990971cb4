// Numbers of 16 bits as they are stored, and their conversions, to nearest, ties to even.
#pragma once
#include <cstdint>
#include <cstring>

namespace noisegate {

struct Half {
    std::uint16_t bits;
};
struct Brain {
    std::uint16_t bits;
};

// These have internal linkage: a function that an object of another instruction set shares with
// this one would be the linker's choice.
static inline std::uint32_t bits_of_float(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline float float_of_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline Brain to_brain(float value) {
    const std::uint32_t bits = bits_of_float(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return {0x7FC0};
    return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

static inline float from_half(Half half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half.bits & 0x8000) << 16;
    const std::uint32_t exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent != 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    const float small = static_cast<float>(fraction) * 0x1p-24f;
    return float_of_bits(sign | bits_of_float(small));
}

static inline Half to_half(float value) {
    const std::uint32_t bits = bits_of_float(value), magnitude = bits & 0x7FFFFFFF;
    const std::uint32_t sign = bits >> 16 & 0x8000;
    std::uint32_t result;
    if (magnitude > 0x7F800000) {
        result = 0x7E00;
    } else if (magnitude >= 0x477FF000) {  // 65520, halfway to what has no half
        result = 0x7C00;
    } else if (magnitude >= 0x38800000) {  // 2⁻¹⁴, the smallest normal half
        result = (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    } else {  // in units of 2⁻²⁴: adding 2²³ · 2⁻²⁴ rounds to them
        result = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3F000000;
    }
    return {static_cast<std::uint16_t>(sign | result)};
}

}  // namespace noisegate
