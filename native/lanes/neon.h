// NEON of aarch64, with the conversions of half that all of it has: four blocks, four numbers of 32 bits.
#pragma once
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage.h"

namespace noisegate::neon {

constexpr char NAME[] = "NEON";
constexpr std::size_t BLOCKS = 4;
constexpr std::size_t WIDE = 4;

// One word of each block's counter. A product's high halves stand beside it; of others they are anything.
struct Word {
    uint32x4_t v, above;
};

inline Word word_of(uint32x4_t v) { return {v, v}; }
inline Word same(std::uint32_t word) { return word_of(vdupq_n_u32(word)); }
inline Word counted(std::uint32_t first) {
    alignas(16) static constexpr std::uint32_t order[4] = {0, 1, 2, 3};
    return word_of(vaddq_u32(vdupq_n_u32(first), vld1q_u32(order)));
}
inline Word next(Word word, std::uint32_t by) { return word_of(vaddq_u32(word.v, vdupq_n_u32(by))); }
inline Word plus(Word a, Word b) { return word_of(vaddq_u32(a.v, b.v)); }
inline Word minus(Word a, Word b) { return word_of(vsubq_u32(a.v, b.v)); }
inline Word load(const std::uint32_t *words) { return word_of(vld1q_u32(words)); }
inline Word times(Word word, std::uint32_t factor) {
    const uint32x4_t factors = vdupq_n_u32(factor);
    const uint32x4_t a = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(word.v), vget_low_u32(factors)));
    const uint32x4_t b = vreinterpretq_u32_u64(vmull_high_u32(word.v, factors));
    return {vuzp1q_u32(a, b), vuzp2q_u32(a, b)};
}
inline Word high(Word product) { return word_of(product.above); }
inline Word low(Word product) { return product; }
inline Word mix(Word a, Word b) { return word_of(veorq_u32(a.v, b.v)); }
inline Word mix(Word a, Word b, Word c) { return mix(a, mix(b, c)); }

// The 16-bit lanes of BLOCKS blocks, in order.
struct Lanes {
    uint16x8_t v[BLOCKS];
};

inline Lanes lanes(Word w0, Word w1, Word w2, Word w3) {
    const uint32x4_t even_a = vzip1q_u32(w0.v, w2.v), even_b = vzip2q_u32(w0.v, w2.v);
    const uint32x4_t odd_a = vzip1q_u32(w1.v, w3.v), odd_b = vzip2q_u32(w1.v, w3.v);
    return {{vreinterpretq_u16_u32(vzip1q_u32(even_a, odd_a)), vreinterpretq_u16_u32(vzip2q_u32(even_a, odd_a)),
             vreinterpretq_u16_u32(vzip1q_u32(even_b, odd_b)), vreinterpretq_u16_u32(vzip2q_u32(even_b, odd_b))}};
}

// Write where lanes are at least `top`; return whether one equals it.
inline bool at_least(const Lanes &lanes, std::uint32_t top, std::uint8_t *out) {
    const uint16x8_t t = vdupq_n_u16(static_cast<std::uint16_t>(top));
    uint16x8_t equal = vdupq_n_u16(0);
    for (std::size_t i = 0; i < BLOCKS; i += 2) {
        const uint16x8_t a = lanes.v[i], b = lanes.v[i + 1];
        const uint8x16_t kept = vuzp1q_u8(vreinterpretq_u8_u16(vcgeq_u16(a, t)), vreinterpretq_u8_u16(vcgeq_u16(b, t)));
        vst1q_u8(out + 8 * i, kept);
        equal = vorrq_u16(equal, vorrq_u16(vceqq_u16(a, t), vceqq_u16(b, t)));
    }
    return vmaxvq_u32(vreinterpretq_u32_u16(equal)) != 0;
}

// Four numbers of 32 bits.
struct Wide {
    uint32x4_t v;
};

// Write high · 2¹⁶ + low of every lane, in order.
inline void join(const Lanes &high, const Lanes &low, std::uint32_t *out) {
    for (std::size_t i = 0; i < BLOCKS; ++i) {
        vst1q_u32(out + 8 * i, vreinterpretq_u32_u16(vzip1q_u16(low.v[i], high.v[i])));
        vst1q_u32(out + 8 * i + 4, vreinterpretq_u32_u16(vzip2q_u16(low.v[i], high.v[i])));
    }
}

inline Wide load_wide(const std::uint32_t *p) { return {vld1q_u32(p)}; }
inline Wide wide(std::uint32_t value) { return {vdupq_n_u32(value)}; }
inline Wide operator&(Wide a, Wide b) { return {vandq_u32(a.v, b.v)}; }
inline Wide operator|(Wide a, Wide b) { return {vorrq_u32(a.v, b.v)}; }
inline Wide operator^(Wide a, Wide b) { return {veorq_u32(a.v, b.v)}; }
inline Wide operator+(Wide a, Wide b) { return {vaddq_u32(a.v, b.v)}; }
inline Wide operator-(Wide a, Wide b) { return {vsubq_u32(a.v, b.v)}; }
inline Wide operator*(Wide a, Wide b) { return {vmulq_u32(a.v, b.v)}; }
// The high halves of products of numbers of 16 bits.
inline Wide high16(Wide a, Wide b) { return {vshrq_n_u32(vmulq_u32(a.v, b.v), 16)}; }
template <int N> inline Wide left(Wide a) { return {vshlq_n_u32(a.v, N)}; }
template <int N> inline Wide right(Wide a) { return {vshrq_n_u32(a.v, N)}; }
inline Wide left(Wide a, Wide by) { return {vshlq_u32(a.v, vreinterpretq_s32_u32(by.v))}; }
inline Wide sign(Wide a) { return {vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(a.v), 31))}; }
inline Wide leading_zeros(Wide a) { return {vclzq_u32(a.v)}; }

// The low and the high halves of rows of a table of 64-bit numbers.
inline uint32x4_t two_rows(const std::uint64_t *table, const std::uint32_t *rows) {
    return vreinterpretq_u32_u64(vcombine_u64(vld1_u64(table + rows[0]), vld1_u64(table + rows[1])));
}
inline void look_up(const std::uint64_t *table, const std::uint32_t *rows, Wide &low, Wide &high) {
    const uint32x4_t a = two_rows(table, rows), b = two_rows(table, rows + 2);
    low = {vuzp1q_u32(a, b)};
    high = {vuzp2q_u32(a, b)};
}

struct Float {
    float32x4_t v;
};
inline Float to_float(Wide integers) { return {vcvtq_f32_s32(vreinterpretq_s32_u32(integers.v))}; }
inline Float same(float value) { return {vdupq_n_f32(value)}; }
inline Float operator*(Float a, Float b) { return {vmulq_f32(a.v, b.v)}; }
inline Float operator+(Float a, Float b) { return {vaddq_f32(a.v, b.v)}; }
inline Float load(const float *p) { return {vld1q_f32(p)}; }
inline void store(float *p, Float a) { vst1q_f32(p, a.v); }
inline uint16x4_t load_four(const void *p) {
    uint16x4_t four;
    std::memcpy(&four, p, sizeof four);
    return four;
}
inline Float load(const Half *p) { return {vcvt_f32_f16(vreinterpret_f16_u16(load_four(p)))}; }
inline void store(Half *p, Float a) {
    const uint16x4_t four = vreinterpret_u16_f16(vcvt_f16_f32(a.v));
    std::memcpy(p, &four, sizeof four);
}
inline Float load(const Brain *p) { return {vreinterpretq_f32_u32(vshll_n_u16(load_four(p), 16))}; }
inline void store(Brain *p, Float a) {
    const uint32x4_t bits = vreinterpretq_u32_f32(a.v);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint16x4_t top = vshrn_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF))), 16);
    const uint16x4_t four = vbsl_u16(vmovn_u32(vceqq_f32(a.v, a.v)), top, vdup_n_u16(0x7FC0));
    std::memcpy(p, &four, sizeof four);
}
// Bytes of a mask, as wide as numbers.
inline int16x8_t mask16(const std::uint8_t *keep, std::size_t count) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, keep, count);
    return vmovl_s8(vcreate_s8(bytes));
}
inline uint32x4_t mask32(const std::uint8_t *keep) {
    return vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(mask16(keep, 4))));
}
inline Float where(const std::uint8_t *keep, Float a) {
    return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), mask32(keep)))};
}
inline Float where(const std::uint8_t *keep, Float a, Float other) { return {vbslq_f32(mask32(keep), a.v, other.v)}; }

struct Double {
    float64x2_t v;
};
inline Double same(double value) { return {vdupq_n_f64(value)}; }
inline Double operator*(Double a, Double b) { return {vmulq_f64(a.v, b.v)}; }
inline Double operator+(Double a, Double b) { return {vaddq_f64(a.v, b.v)}; }
inline Double load(const double *p) { return {vld1q_f64(p)}; }
inline void store(double *p, Double a) { vst1q_f64(p, a.v); }
inline Double widened(const float *p) { return {vcvt_f64_f32(vld1_f32(p))}; }
inline uint64x2_t mask64(const std::uint8_t *keep) {
    const int32x4_t four = vmovl_s16(vget_low_s16(mask16(keep, 2)));
    return vreinterpretq_u64_s64(vmovl_s32(vget_low_s32(four)));
}
inline Double where(const std::uint8_t *keep, Double a) {
    return {vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(a.v), mask64(keep)))};
}
inline Double where(const std::uint8_t *keep, Double a, Double other) { return {vbslq_f64(mask64(keep), a.v, other.v)}; }

}  // namespace noisegate::neon
